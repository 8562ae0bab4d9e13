/* vmath_more.h: erf and the trigonometric functions; part of vmath.h, which has the conventions. */

/* ---- error function --------------------------------------------------------------------------------------------- */

/* x + x P(x^2) up to 1; from there 1 - exp(-Q(|x|)), where Q fits -log(erfc). */
TG_INLINE vec v_erf(vec x) {
#if TG_BITS == 32
    static const real p[] = {0.128379166f,   -0.37612626f,     0.112835854f,   -0.0268538129f,
                             0.00518832775f, -0.000801019487f, 7.85386292e-05f};
    static const real q[] = {0.000339452177f, 1.12709725f,    0.638131857f,    0.10311763f,
                             -0.0218430776f,  0.00294886413f, -0.000186497389f};
#else
    static const real p[] = {0.1283791670955126,      -0.3761263890318375,     0.11283791670954857,
                             -0.026866170645072893,   0.005223977624780855,    -0.0008548326978741372,
                             0.00012055331036865464,  -1.4925593506013821e-05, 1.6460972802454308e-06,
                             -1.6350025065570372e-07, 1.4657878781418371e-08,  -1.1365661881463798e-09,
                             5.945254923851086e-11};
    static const real q[] = {
        1.7809812643600488e-07,  1.1283773440407139,      0.6366284220551326,     0.10274743945081197,
        -0.019078519024480253,   -0.00027996870315537964, 0.001768432726824444,   -0.0006406885619978393,
        4.449602993171489e-05,   7.054198769766881e-05,   -4.511259340285985e-05, 1.653964573882442e-05,
        -4.333991924844518e-06,  8.520405907837072e-07,   -1.259410844002641e-07, 1.3654703076100706e-08,
        -1.0280025553910927e-09, 4.8077423419216074e-11,  -1.0523923112834714e-12};
#endif
    vec k;
    const vec a = v_abs(x), square = x * x;
    const vec near_zero = x + x * v_polynomial(square, p);
    const vec limit = v_set(TG_REAL_PICK(3.95, 5.95)); /* erf rounds to 1 */
    const vec e = FN(exp_parts)(-v_polynomial(v_clamp(a, v_set(1), limit), q), &k);
    const vec far = v_set(1) - FN(scale_by_power)(v_set(1) + e, k);
    return v_select(a > v_set(1), v_copysign(far, x), near_zero);
}

/* ---- sine, cosine, tangent -------------------------------------------------------------------------------------- */

/* x = k pi/2 + r + *low, |r| <= pi/4, *low what r lost when it was rounded: returns r and an integer with k in its low bits.
 * pi/2 is cut into parts so short that k times each but the last is exact while |x| < ANGLE_LIMIT. */
#define ANGLE_LIMIT TG_REAL_PICK(12800, 1600000)
TG_INLINE vec FN(reduce_angle)(vec x, ivec *quadrant, vec *low) {
    const vec magic = v_set(INTEGER_MAGIC), shifted = x * v_set(0x1.45f306dc9c883p-1) + magic, k = shifted - magic;
    *quadrant = (ivec)shifted;
    vec r = x - k * v_set(TG_REAL_PICK(0x1.92p+0, 0x1.921fb544p+0));
    r = r - k * v_set(TG_REAL_PICK(0x1.fb4p-12, 0x1.0b4611a6p-34));
    r = r - k * v_set(TG_REAL_PICK(0x1.444p-24, 0x1.3198a2ep-69));
    vec rest = k * v_set(TG_REAL_PICK(0x1.68c234c4c6629p-39, 0x1.b839a252049c1p-104));
    V_OPAQUE(rest);
    const vec sum = r - rest;
    *low = (r - sum) - rest;
    return sum;
}

/* sin(r + low), cos(r + low) without their largest terms, which are r and 1 - r^2 / 2 */
TG_INLINE vec FN(sin_tail)(vec r, vec low) {
#if TG_BITS == 32
    static const real c[] = {-0.166666672f, 0.00833332911f, -0.000198392328f, 2.71736667e-06f};
#else
    static const real c[] = {-0.16666666666666666,   0.008333333333333321,   -0.00019841269841253223,
                             2.7557319213241263e-06, -2.505210466604653e-08, 1.605833551884473e-10,
                             -7.577162802169121e-13};
#endif
    const vec square = r * r;
    return r * square * v_polynomial(square, c) + low;
}

TG_INLINE vec FN(cos_tail)(vec r, vec low) {
#if TG_BITS == 32
    static const real c[] = {0.0416666456f, -0.00138872524f, 2.44257626e-05f};
#else
    static const real c[] = {0.04166666666666658,     -0.0013888888888871375, 2.480158728778261e-05,
                             -2.7557313865424865e-07, 2.087565755340435e-09,  -1.1356265542392138e-11};
#endif
    vec square = r * r;
    V_OPAQUE(square);
    const vec half = v_set(0.5) * square, near = v_set(1) - half;
    /* (1 - near) - half is what near lost */
    return ((v_set(1) - near) - half) + (square * square * v_polynomial(square, c) - r * low);
}

/* y, but the C library's function where |x| is too large for the reduction above: rare lanes, one by one. */
static __attribute__((noinline)) vec FN(large_angles)(vec y, vec x, double (*function)(double)) {
    for (int i = 0; i < (int)LANES; i++)
        if (fabs((double)x[i]) >= ANGLE_LIMIT) y[i] = (real)function((double)x[i]);
    return y;
}

/* sin(x + turns pi/2) */
TG_INLINE vec FN(sin_turned)(vec x, int turns) {
    ivec quadrant;
    vec low;
    const vec r = FN(reduce_angle)(x, &quadrant, &low);
    quadrant += turns;
    const ivec odd = (quadrant & 1) != 0;
    const vec y =
        v_select(odd, v_set(1) - v_set(0.5) * (r * r), r) + v_select(odd, FN(cos_tail)(r, low), FN(sin_tail)(r, low));
    return (vec)((ivec)y ^ (ivec)((uvec)(quadrant & 2) << (TG_BITS - 2)));
}

TG_INLINE vec v_sin(vec x) {
    const vec y = v_select(x == v_set(0), x, FN(sin_turned)(x, 0)); /* -0 gives -0 */
    return v_any(v_abs(x) >= v_set(ANGLE_LIMIT)) ? FN(large_angles)(y, x, sin) : y;
}
TG_INLINE vec v_cos(vec x) {
    const vec y = FN(sin_turned)(x, 1);
    return v_any(v_abs(x) >= v_set(ANGLE_LIMIT)) ? FN(large_angles)(y, x, cos) : y;
}
TG_INLINE vec v_tan(vec x) {
    ivec quadrant;
    vec low;
    const vec r = FN(reduce_angle)(x, &quadrant, &low), near = v_set(1) - v_set(0.5) * (r * r);
    const vec s_tail = FN(sin_tail)(r, low), c_tail = FN(cos_tail)(r, low), s = r + s_tail, c = near + c_tail;
    const vec s_low = s_tail - (s - r), c_low = c_tail - (c - near);
    const ivec odd = (quadrant & 1) != 0;
    const vec below = v_select(odd, s, c), quotient = v_select(odd, -c, s) / below;
    const vec lost = v_select(odd, -c_low, s_low) - quotient * v_select(odd, s_low, c_low);
    const vec y = v_select(x == v_set(0), x, quotient + lost / below);
    return v_any(v_abs(x) >= v_set(ANGLE_LIMIT)) ? FN(large_angles)(y, x, tan) : y;
}
#undef ANGLE_LIMIT
