/* special.h: scalar functions that the C library lacks, in double precision. Formulas: NIST DLMF, sections 5.4 to 5.15 (gamma and
 * its derivatives), 25.11 (Hurwitz zeta); 7.17 (inverse error function). */
#ifndef TG_SPECIAL_H
#define TG_SPECIAL_H

#define TG_PI 3.14159265358979323846

/* log |gamma(x)| without the global sign of lgamma, which threads would share */
static inline double tg_lgamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

/* x less the nearest integer: pi times it keeps sin and tan accurate at large x */
static inline double tg_turn(double x) { return x - nearbyint(x); }

/* pi / tan(pi x), from the distance to the nearest zero or pole, which is exact */
static inline double tg_pi_cot(double x) {
    const double r = tg_turn(x), a = fabs(r);
    return a > 0.25 ? copysign(TG_PI * tan(TG_PI * (0.5 - a)), r) : TG_PI / tan(TG_PI * r);
}

/* On [1, 2] the distance from the root times a polynomial (Chebyshev interpolation), so that the relative error stays small at the
 * root. The recurrence leads there from below 1 and up to 10, the asymptotic series from 10 on, reflection below zero. */
static inline double tg_digamma(double x) {
    static const double series[] = {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12};
    static const double slope[] = {
        0.951055876031833,      -0.4236274212814605,    0.2405424842407742,    -0.14840492305390884,
        0.09498872445494122,    -0.061922133273064534,  0.04076083381242074,   -0.02697579675613825,
        0.0179072524394512,     -0.011908218001568644,  0.007926944646403797,  -0.005279964873257405,
        0.003519006401502276,   -0.002345267632540769,  0.0015566317474486838, -0.0010376374098418604,
        0.0007233266279287554,  -0.0004821990530566789, 0.0002272331660987376, -0.00015148586836773365,
        0.00025968482126430747, -0.00017312261802727394};
    if (isnan(x) || x == INFINITY) return x;
    if (x == 0) return copysign(INFINITY, -x);
    if (x < -0.25) return x == floor(x) ? NAN : tg_digamma(1 - x) - tg_pi_cot(x);
    if (x >= 10) {
        const double inverse = 1 / (x * x);
        double sum = 0;
        for (int i = 6; i >= 0; i--) sum = (sum + series[i]) * inverse;
        return log(x) - (0.5 / x + sum);
    }
    double shift = 0;
    for (; x < 1; x += 1) shift -= 1 / x;
    for (; x > 2; shift += 1 / x) x -= 1;
    double p = 0;
    for (int i = 21; i >= 0; i--) p = p * (x - 1.5) + slope[i];
    return shift + ((x - 0x1.762d86356be3fp+0) - 9.549995429965697e-17) * p;
}

/* zeta(s, x), the sum of (x + k)^-s over k >= 0, by Euler and Maclaurin from x >= 12 + s / 2. s > 1 */
static inline double tg_zeta(double s, double x) {
    static const double c[] = {1.0 / 12,
                               -1.0 / 720,
                               1.0 / 30240,
                               -1.0 / 1209600,
                               1.0 / 47900160,
                               -691.0 / 1307674368e3,
                               1.0 / 74724249600.0,
                               -3617.0 / 10670622842880000.0};
    double sum = 0;
    for (; x < 12 + s / 2; x += 1) sum += pow(x, -s);
    const double power = pow(x, -s);
    double tail = pow(x, 1 - s) / (s - 1) + 0.5 * power, factor = s * power / x;
    for (int i = 0; i < 8; i++) {
        tail += c[i] * factor;
        factor *= (s + 2 * i + 1) * (s + 2 * i + 2) / (x * x);
    }
    return sum + tail;
}

/* The n-th derivative of digamma. Orders 1 and 2 are reflected below zero; higher ones use the recurrence, down to x = -1000. */
static inline double tg_polygamma(double x, double n) {
    if (n == 0) return tg_digamma(x);
    if (isnan(x) || n < 0 || n != floor(n)) return NAN;
    const int even = fmod(n, 2) == 0;
    if (x == INFINITY) return even ? -0.0 : 0.0;
    if (x <= 0 && x == floor(x)) return even ? -INFINITY : INFINITY;
    if (x < 0 && n <= 2) {
        const double angle = TG_PI * tg_turn(x), ratio = TG_PI / sin(angle);
        if (n == 1) return ratio * ratio - tg_polygamma(1 - x, 1);
        return tg_polygamma(1 - x, 2) - 2 * ratio * ratio * ratio * cos(angle);
    }
    if (x < -1000) return NAN;
    return (even ? -1 : 1) * tgamma(n + 1) * tg_zeta(n + 1, x);
}

/* Winitzki's closed form, then Halley's method, two or three times; above 1/2 against erfc, where 1 - |x| is exact. */
static inline double tg_erfinv(double x) {
    const double a = fabs(x), rest = 1 - a;
    if (!(a < 1)) return a == 1 ? copysign(INFINITY, x) : NAN;
    if (a < 1e-8) return x * 0.88622692545275801365;
    const double l = log1p(-a * a), h = 2 / (TG_PI * 0.147) + l / 2;
    double y = sqrt(sqrt(h * h - l / 0.147) - h);
    for (int i = 0; i < 3; i++) {
        const double error = a > 0.5 ? rest - erfc(y) : erf(y) - a;
        const double step = error * 0.88622692545275801365 * exp(y * y);
        y -= step / (1 + y * step);
        if (fabs(step) < 1e-6 * y) break; /* what is left is of the size of its cube */
    }
    return copysign(y, x);
}

/* a - b floor(a / b), exact; the sign of b */
static inline double tg_remainder(double a, double b) {
    const double r = fmod(a, b);
    if (r == 0) return copysign(0.0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

/* the largest integer <= a / b, of the exact quotient */
static inline double tg_floor_divide(double a, double b) {
    const double r = fmod(a, b);
    if (b == 0 || isnan(r)) return b == 0 ? a / b : r;
    const double q = (a - r) / b - ((r != 0 && (r < 0) != (b < 0)) ? 1 : 0);
    return q == 0 ? copysign(0.0, a / b) : nearbyint(q);
}
#endif
