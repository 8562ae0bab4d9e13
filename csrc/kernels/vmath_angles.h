/* vmath_angles.h: inverse trigonometric functions, the hyperbolic sine and cosine, and hypot; part of vmath.h, which has the
 * conventions. The polynomials interpolate at Chebyshev nodes; those of sinh are Taylor's. */

#define HALF_PI_HIGH TG_REAL_PICK(0x1.921fb6p+0, 0x1.921fb54442d18p+0)
#define HALF_PI_LOW TG_REAL_PICK(-0x1.777a5cf72cecep-25, 0x1.1a62633145c07p-54)
/* so short that its products with 1, 2, 3, 4 are exact */
#define QUARTER_PI_HIGH TG_REAL_PICK(0x1.921fbp-1, 0x1.921fb54442d18p-1)
#define QUARTER_PI_LOW TG_REAL_PICK(0x1.5110b4611a626p-23, 0x1.1a62633145c07p-55)

/* asin(s) / s - 1 for z = s^2 in [0, 1/4] */
TG_INLINE vec FN(asin_tail)(vec z) {
#if TG_BITS == 32
    static const real c[] = {0.166666731f, 0.0749885514f, 0.0450013801f, 0.0265545417f, 0.0380850248f};
#else
    static const real c[] = {0.1666666666666665,    0.07500000000020764,  0.044642857103423646,  0.03038194736709848,
                             0.02237204763174451,   0.017355259955786323, 0.013929652902326633,  0.011875494382636922,
                             0.0078029494773533175, 0.01603551434914882,  -0.010749050339697808, 0.028169218060881414};
#endif
    return z * v_polynomial(z, c);
}

/* For |x| > 1/2, s = sqrt((1 - |x|) / 2): asin(|x|) = pi/2 - 2 asin(s). Returns s without its last bits, and asin(s) less that in
 * `rest`: the square of what is returned is exact, so that the root's error can be put right. */
TG_INLINE vec FN(asin_outside)(vec a, vec *rest) {
    const vec z = v_set(0.5) * (v_set(1) - a), s = v_sqrt(z);
    const vec head = (vec)((ivec)s & ((ivec){0} - TG_REAL_PICK(1 << 12, (integer)1 << 27)));
    const vec lost = v_select(s == v_set(0), s, (z - head * head) / (s + head));
    *rest = s * FN(asin_tail)(z) + lost;
    return head;
}

TG_INLINE vec v_asin(vec x) {
    vec rest;
    const vec a = v_abs(x), head = FN(asin_outside)(a, &rest);
    const vec outside = (v_set(HALF_PI_HIGH) - v_set(2) * head) - (v_set(2) * rest - v_set(HALF_PI_LOW));
    return v_copysign(v_select(a <= v_set(0.5), a + a * FN(asin_tail)(a * a), outside), x);
}

TG_INLINE vec v_acos(vec x) {
    vec rest;
    const vec head = FN(asin_outside)(v_abs(x), &rest), two = v_set(2);
    const vec negative = two * ((v_set(HALF_PI_HIGH) - head) - (rest - v_set(HALF_PI_LOW)));
    const vec outside = v_select(x > v_set(0), two * (head + rest), negative);
    const vec inside = v_set(HALF_PI_HIGH) - (x + (x * FN(asin_tail)(x * x) - v_set(HALF_PI_LOW)));
    return v_select(v_abs(x) <= v_set(0.5), inside, outside);
}

/* k pi/4 + atan(r) for |r| <= 1/2 */
TG_INLINE vec FN(angle)(vec r, vec k) {
#if TG_BITS == 32
    static const real c[] = {-0.333333254f, 0.199982122f, -0.14227204f, 0.104227163f, -0.055816628f};
#else
    static const real c[] = {-0.33333333333333326, 0.199999999999916,   -0.14285714284106285, 0.11111110990139533,
                             -0.09090904370311348, 0.07692198451257941, -0.06665052856794013, 0.058664967492257074,
                             -0.05157516225552972, 0.04283578705573422, -0.02895352123252625, 0.011152908092096216};
#endif
    const vec z = r * r;
    return k * v_set(QUARTER_PI_HIGH) + (r + (r * z * v_polynomial(z, c) + k * v_set(QUARTER_PI_LOW)));
}

/* The angle whose tangent is low / high, 0 <= low <= high: r, up to 1/2, is the tangent of the angle less k pi/4, k = 0 or 1. */
TG_INLINE vec FN(tangent)(vec low, vec high, vec *k) {
    const ivec middle = low > v_set(0.5) * high;
    *k = v_select(middle, v_set(1), v_set(0));
    return v_select(middle, low - high, low) / v_select(middle, low + high, high);
}

/* Steeper than pi/4 an angle is pi/2 less that of 1 / |x|. */
TG_INLINE vec v_atan(vec x) {
    vec k;
    const vec a = v_abs(x), one = v_set(1);
    const ivec steep = a > one;
    const vec r = FN(tangent)(v_select(steep, one, a), v_select(steep, a, one), &k);
    return v_copysign(FN(angle)(v_select(steep, -r, r), v_select(steep, v_set(2) - k, k)), x);
}

/* The angle of (|x|, |y|), mirrored into the quadrant of (x, y) */
TG_INLINE vec v_atan2(vec y, vec x) {
    const vec ay = v_abs(y), ax = v_abs(x), one = v_set(1), zero = v_set(0);
    const ivec steep = ay > ax, left = (ivec)x < 0, infinite = v_max(ay, ax) == v_set(INFINITY);
    vec high = v_select(steep, ay, ax), low = v_select(steep, ax, ay), k;
    low = v_select(infinite, v_select(low == high, one, zero), low);
    high = v_select(infinite | (high == zero), one, high);
    const vec scale =
        v_select(high > v_set(TG_REAL_PICK(0x1p100, 0x1p1000)), v_set(0x1p-4), one); /* high + low is finite */
    const vec r = FN(tangent)(low * scale, high * scale, &k);
    k = v_select(steep, v_set(2) - k, k);
    k = v_select(left, v_set(4) - k, k);
    const vec angle = v_copysign(FN(angle)(v_select(steep ^ left, -r, r), k), y);
    return v_select((x != x) | (y != y), x + y, angle);
}

/* exp(|x|) / 2, finite as long as sinh and cosh are */
TG_INLINE vec FN(half_exp)(vec a) {
    vec k;
    const vec e = FN(exp_parts)(v_at_most(a, v_set(TG_REAL_PICK(90, 711))), &k);
    return FN(scale_by_power)(v_set(1) + e, k - v_set(1));
}
TG_INLINE vec v_cosh(vec x) {
    const vec h = FN(half_exp)(v_abs(x));
    return h + v_set(0.25) / h;
}
TG_INLINE vec v_sinh(vec x) {
#if TG_BITS == 32
    static const real c[] = {0.166666667f, 0.00833333333f, 0.000198412698f, 2.75573192e-06f, 2.50521084e-08f};
#else
    static const real c[] = {0.16666666666666666,    0.008333333333333333,   0.0001984126984126984,
                             2.7557319223985893e-06, 2.505210838544172e-08,  1.6059043836821613e-10,
                             7.647163731819816e-13,  2.8114572543455206e-15, 8.22063524662433e-18};
#endif
    const vec a = v_abs(x), z = x * x, h = FN(half_exp)(a);
    return v_select(a > v_set(1), v_copysign(h - v_set(0.25) / h, x), x + x * z * v_polynomial(z, c));
}

/* sqrt(a^2 + b^2), scaled by a power of two where squares would overflow or lose bits; infinite beside a NaN too, as C has it */
TG_INLINE vec v_hypot(vec a, vec b) {
    const vec high = v_max(v_abs(a), v_abs(b)), one = v_set(1), infinity = v_set(INFINITY);
    const ivec large = high > v_set(TG_REAL_PICK(0x1p60, 0x1p500)),
               small = high < v_set(TG_REAL_PICK(0x1p-50, 0x1p-450));
    const vec up = v_set(TG_REAL_PICK(0x1p90, 0x1p600)), down = v_set(TG_REAL_PICK(0x1p-70, 0x1p-600));
    const vec scale = v_select(large, down, v_select(small, up, one));
    const vec back = v_select(large, v_set(TG_REAL_PICK(0x1p70, 0x1p600)),
                              v_select(small, v_set(TG_REAL_PICK(0x1p-90, 0x1p-600)), one));
    const vec x = a * scale, y = b * scale;
    const vec length = v_sqrt(x * x + y * y) * back;
    return v_select((v_abs(a) == infinity) | (v_abs(b) == infinity), infinity, length);
}

#undef HALF_PI_HIGH
#undef HALF_PI_LOW
#undef QUARTER_PI_HIGH
#undef QUARTER_PI_LOW
