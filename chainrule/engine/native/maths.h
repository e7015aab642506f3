/* Elementary functions without branches, so that gcc turns a plain loop over them into vectors.
 *
 * Reduction and polynomials in single precision: Cody & Waite (1980), coefficients of Moshier's Cephes for exp and tanh, of
 * Sun's fdlibm for log.
 * In double precision they are those of the C library. */

#ifdef CR_DOUBLE
CR_INLINE real cr_exp(real x) { return exp(x); }
CR_INLINE real cr_expm1(real x) { return expm1(x); }
CR_INLINE real cr_log(real x) { return log(x); }
CR_INLINE real cr_log1p(real x) { return log1p(x); }
CR_INLINE real cr_tanh(real x) { return tanh(x); }
#else
CR_INLINE float cr_of_bits(uint32_t bits) { union { uint32_t i; float f; } u = {bits}; return u.f; }
CR_INLINE uint32_t cr_bits(float x) { union { float f; uint32_t i; } u = {x}; return u.i; }

/* x = n ln 2 + r with |r| <= ln 2 / 2: returns e^r - 1 and, in *n, n. Adding 1.5 * 2^23 leaves n in the last bits. */
CR_INLINE float cr_exp_reduced(float x, int32_t *n) {
    const float shift = 12582912.0f, t = x * 1.44269504f + shift, whole = t - shift;
    const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    const float p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r + 1.6666665459e-1f) * r
                  + 5.0000001201e-1f;
    *n = (int32_t)(cr_bits(t) - cr_bits(shift));
    return p * (r * r) + r;
}
CR_INLINE float cr_two_to(int32_t n) { return cr_of_bits((uint32_t)(n + 127) << 23); } /* -127 < n < 128 */
CR_INLINE float cr_clip(float x, float low, float high) { /* NaN stays */
    x = x < low ? low : x;
    return x > high ? high : x;
}

CR_INLINE float cr_exp(float x) {
    int32_t n;
    const float p = cr_exp_reduced(cr_clip(x, -104, 89), &n) + 1; /* beyond which it is 0 and infinity */
    return p * cr_two_to(n >> 1) * cr_two_to(n - (n >> 1));       /* in two factors: results may be subnormal or overflow */
}

CR_INLINE float cr_expm1(float x) {
    int32_t n;
    const float p = cr_exp_reduced(cr_clip(x, -18, 89), &n), half = cr_two_to(n - 1);
    return 2 * (half * p + (half - 0.5f));
}

CR_INLINE float cr_log(float x) {
    const int small = x < 1.17549435e-38f;
    const uint32_t bits = cr_bits(small ? x * 8388608.0f : x) + (0x3f800000 - 0x3f3504f3); /* of a mantissa in [sqrt 1/2, sqrt 2) */
    const float k = (float)((int32_t)(bits >> 23) - (small ? 150 : 127));
    const float f = cr_of_bits((bits & 0x007fffff) + 0x3f3504f3) - 1, s = f / (2 + f), z = s * s, half = 0.5f * f * f;
    const float odd = z * (0.66666662693f + z * z * 0.28498786688f), even = z * z * (0.40000972152f + z * z * 0.24279078841f);
    const float y = s * (half + odd + even) + k * 9.0580006145e-06f - half + f + k * 6.9313812256e-01f;
    return x > 0 ? (x < INFINITY ? y : x) : x == 0 ? -INFINITY : NAN;
}

CR_INLINE float cr_log1p(float x) {
    const float u = 1 + x, y = cr_log(u), lost = x - (u - 1); /* what rounding took from 1 + x */
    return lost != 0 && u < INFINITY ? y + lost / u : y;
}

CR_INLINE float cr_tanh(float x) {
    const float a = fabsf(x), z = x * x, far = 1 - 2 / (cr_exp(2 * (a > 10 ? 10 : a)) + 1); /* beyond which it is 1 */
    const float p = (((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z + 1.33314422036e-1f) * z
                  - 3.33332819422e-1f;
    return a < 0.625f ? p * (z * x) + x : copysignf(far, x);
}
#endif

CR_INLINE real cr_sigmoid(real x) { /* from e^-|x|, so that nothing overflows and the far left keeps its digits */
    const real e = cr_exp(x < 0 ? x : -x);
    return (x < 0 ? e : 1) / (1 + e);
}
