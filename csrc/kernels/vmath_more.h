/* vmath_more.h: erf and the trigonometric functions; part of vmath.h, which has the conventions. */

/* ---- error function --------------------------------------------------------------------------------------------- */

#if TG_VECTOR_BYTES < 64
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
#endif

/* ---- sine, cosine, tangent -------------------------------------------------------------------------------------- */

/* x = k pi/2 + r + low, |r| <= pi/4: returns r, low and an integer with k in its low bits. pi/2 is cut into parts so short that k times
 * each is exact while |x| < ANGLE_LIMIT. */
#define ANGLE_LIMIT TG_REAL_PICK(12800, 1600000)
TG_INLINE vec FN(reduce_angle)(vec x, ivec *quadrant, vec *low) {
    const vec magic = v_set(INTEGER_MAGIC), shifted = x * v_set(0x1.45f306dc9c883p-1) + magic, k = shifted - magic;
    *quadrant = (ivec)shifted;
    vec r = x - k * v_set(TG_REAL_PICK(0x1.92p+0, 0x1.921fb544p+0));
    r = r - k * v_set(TG_REAL_PICK(0x1.fb4p-12, 0x1.0b4611a6p-34));
    const vec third = k * v_set(TG_REAL_PICK(0x1.444p-24, 0x1.3198a2ep-69)), rounded = r - third;
    *low = ((r - rounded) - third) - k * v_set(TG_REAL_PICK(0x1.68c234c4c6629p-39, 0x1.b839a252049c1p-104));
    return rounded;
}

TG_INLINE vec FN(sin_core)(vec r, vec low) {
#if TG_BITS == 32
    static const real c[] = {-0.166666672f, 0.00833332911f, -0.000198392328f, 2.71736667e-06f};
#else
    static const real c[] = {-0.16666666666666666,   0.008333333333333321,   -0.00019841269841253223,
                             2.7557319213241263e-06, -2.505210466604653e-08, 1.605833551884473e-10,
                             -7.577162802169121e-13};
#endif
    const vec square = r * r;
    return r + (r * square * v_polynomial(square, c) + low);
}

TG_INLINE vec FN(cos_core)(vec r, vec low) {
#if TG_BITS == 32
    static const real c[] = {0.0416666456f, -0.00138872524f, 2.44257626e-05f};
#else
    static const real c[] = {0.04166666666666658,     -0.0013888888888871375, 2.480158728778261e-05,
                             -2.7557313865424865e-07, 2.087565755340435e-09,  -1.1356265542392138e-11};
#endif
    const vec square = r * r, half = v_set(0.5) * square, first = v_set(1) - half, rest = (v_set(1) - first) - half;
    return first + (square * square * v_polynomial(square, c) + (rest - r * low));
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
    const vec y = v_select((quadrant & 1) != 0, FN(cos_core)(r, low), FN(sin_core)(r, low));
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
#if TG_BITS == 32
    static const real c[] = {3.3333334e-01f, 1.333323e-01f,  5.3994633e-02f, 2.1619806e-02f,
                             9.9667795e-03f, 1.1779252e-03f, 3.8475264e-03f};
#else
    static const real c[] = {0.3333333333333333,    0.13333333333332995,     0.05396825396866199,
                             0.021869488516784684,  0.008863236010166257,    0.003592120888637032,
                             0.0014559035556562746, 0.0005895706978530122,   0.00024124685313849385,
                             8.992505029646971e-05, 5.571140447481663e-05,   -1.1187522484568983e-05,
                             3.667594176780907e-05, -1.8401609275740878e-05, 8.50411009662315e-06};
#endif
    ivec quadrant;
    vec low;
    const vec r = FN(reduce_angle)(x, &quadrant, &low), square = r * r;
    const vec tail = r * square * v_polynomial(square, c) + low * (v_set(1) + square), t = r + tail;
    const vec inverse = v_set(-1) / t, lost = tail - (t - r); /* -1 / (t + lost) = inverse + lost / t^2 */
    const vec y = v_select(x == v_set(0), x, v_select((quadrant & 1) != 0, inverse + lost * (inverse * inverse), t));
    return v_any(v_abs(x) >= v_set(ANGLE_LIMIT)) ? FN(large_angles)(y, x, tan) : y;
}
#undef ANGLE_LIMIT
