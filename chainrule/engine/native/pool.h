/* Pooling over windows, a tap at a time: plain loops along the channels, made into vectors where these lie side by side. */

typedef struct { long n, c, h, w, oh, ow, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w; } cr_pool;

static inline long cr_pool_threads(cr_pool s) {
    return 4.0 * s.n * s.oh * s.ow * s.c * s.kh * s.kw > CR_ALONE ? cr_max(cr_min(CR_THREADS, s.n), 1) : 1;
}

/* The taps of window (i, j) that fall on the image: rows a0 to a1, columns b0 to b1, the window's corner at `corner` of the image. */
typedef struct { long a0, a1, b0, b1, corner, step_a, step_b; } cr_window;
CR_INLINE long cr_taps_in(long reals, long dil) { return dil == 1 ? reals : cr_ceil(reals, dil); }
CR_INLINE cr_window cr_window_at(const cr_pool *s, cr_strides xs, long i, long j) {
    const long top = i * s->stride_h - s->pad_h, left = j * s->stride_w - s->pad_w;
    return (cr_window){top < 0 ? cr_taps_in(-top, s->dil_h) : 0, cr_max(cr_min(s->kh, cr_taps_in(s->h - top, s->dil_h)), 0),
                       left < 0 ? cr_taps_in(-left, s->dil_w) : 0, cr_max(cr_min(s->kw, cr_taps_in(s->w - left, s->dil_w)), 0),
                       top * xs.h + left * xs.w, s->dil_h * xs.h, s->dil_w * xs.w};
}

/* Along n channels, for one tap. Each is called with strides of 1 where it may be, so that it is compiled for these. */
CR_INLINE void cr_first(long n, const real *restrict x, long x_c, real *restrict y, long y_c, unsigned char *won, int tap) {
    for (long c = 0; c < n; c++) y[c * y_c] = x[c * x_c];
    if (won) memset(won, tap, (size_t)n);
}
CR_INLINE void cr_largest(long n, const real *restrict x, long x_c, real *restrict y, long y_c, unsigned char *restrict won, int named,
                          int tap) {
    for (long c = 0; c < n; c++) {
        const real z = x[c * x_c], held = y[c * y_c];
        const unsigned char before = named ? won[c] : 0;
        const int more = (z > held) | (z != z);
        y[c * y_c] = more ? z : held;
        if (named) won[c] = more ? (unsigned char)tap : before;
    }
}
CR_INLINE void cr_give(long n, const real *restrict dy, long y_c, real *restrict dx, long x_c, const unsigned char *restrict won, int tap) {
    for (long c = 0; c < n; c++) dx[c * x_c] += won[c] == tap ? dy[c * y_c] : 0;
}
CR_INLINE void cr_gather(long n, const real *restrict x, long x_c, real *restrict y, long y_c, real share, int first) {
    for (long c = 0; c < n; c++) y[c * y_c] = (first ? 0 : y[c * y_c]) + x[c * x_c] / share;
}

CR_ONCE void cr_maxpool2d(cr_pool s, const real *x, cr_strides xs, real *y, cr_strides ys, unsigned char *arg) {
    const long threads = cr_pool_threads(s), dense = xs.c == 1 && ys.c == 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long n = 0; n < s.n; n++)
        for (long i = 0; i < s.oh; i++)
            for (long j = 0; j < s.ow; j++) {
                const cr_window v = cr_window_at(&s, xs, i, j);
                const real *p = x + n * xs.n + v.corner;
                real *q = y + n * ys.n + i * ys.h + j * ys.w;
                unsigned char *won = arg ? arg + ((n * s.oh + i) * s.ow + j) * s.c : NULL;
                for (long a = v.a0; a < v.a1; a++)
                    for (long b = v.b0; b < v.b1; b++) {
                        const real *at = p + a * v.step_a + b * v.step_b;
                        const int tap = (int)(a * s.kw + b);
                        if (a == v.a0 && b == v.b0) cr_first(s.c, at, xs.c, q, ys.c, won, tap);
                        else if (dense && won) cr_largest(s.c, at, 1, q, 1, won, 1, tap);
                        else if (won) cr_largest(s.c, at, xs.c, q, ys.c, won, 1, tap);
                        else cr_largest(s.c, at, xs.c, q, ys.c, NULL, 0, tap);
                    }
            }
}

CR_ONCE void cr_clear(const cr_pool *s, real *x, cr_strides xs) {
    if (xs.c == 1 && xs.w == s->c && xs.h == s->w * s->c) {
        memset(x, 0, (size_t)(s->h * s->w * s->c) * sizeof(real));
        return;
    }
    for (long i = 0; i < s->h; i++)
        for (long j = 0; j < s->w; j++)
            for (long c = 0; c < s->c; c++) x[i * xs.h + j * xs.w + c * xs.c] = 0;
}

CR_ONCE void cr_maxpool2d_backward(cr_pool s, const real *dy, cr_strides ys, const unsigned char *arg, real *dx, cr_strides xs) {
    const long threads = cr_pool_threads(s), dense = xs.c == 1 && ys.c == 1;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long n = 0; n < s.n; n++) {
        cr_clear(&s, dx + n * xs.n, xs);
        for (long i = 0; i < s.oh; i++)
            for (long j = 0; j < s.ow; j++) {
                const cr_window v = cr_window_at(&s, xs, i, j);
                const real *q = dy + n * ys.n + i * ys.h + j * ys.w;
                const unsigned char *won = arg + ((n * s.oh + i) * s.ow + j) * s.c;
                for (long a = v.a0; a < v.a1; a++)
                    for (long b = v.b0; b < v.b1; b++) {
                        real *to = dx + n * xs.n + v.corner + a * v.step_a + b * v.step_b;
                        if (dense) cr_give(s.c, q, 1, to, 1, won, (int)(a * s.kw + b));
                        else cr_give(s.c, q, ys.c, to, xs.c, won, (int)(a * s.kw + b));
                    }
            }
    }
}

/* What a window's sum is divided by: as in torch, padding counts as far as it reaches behind the image, what rounding up adds does not. */
CR_INLINE real cr_share(const cr_pool *s, const cr_window *v, long i, long j, long include_pad, real divisor) {
    if (divisor != 0) return divisor;
    if (!include_pad) return (real)((v->a1 - v->a0) * (v->b1 - v->b0));
    return (real)(cr_min(s->kh, s->h + 2 * s->pad_h - i * s->stride_h) * cr_min(s->kw, s->w + 2 * s->pad_w - j * s->stride_w));
}

/* Forward the mean of each window goes to y; backward each y's share is added to the window, which is dx then. */
CR_INLINE void cr_means(cr_pool s, int forward, long include_pad, real divisor, real *x, cr_strides xs, real *y, cr_strides ys) {
    const long dense = xs.c == 1 && ys.c == 1;
    for (long i = 0; i < s.oh; i++)
        for (long j = 0; j < s.ow; j++) {
            const cr_window v = cr_window_at(&s, xs, i, j);
            const real share = cr_share(&s, &v, i, j, include_pad, divisor);
            real *q = y + i * ys.h + j * ys.w;
            for (long a = v.a0; a < v.a1; a++)
                for (long b = v.b0; b < v.b1; b++) {
                    real *p = x + v.corner + a * v.step_a + b * v.step_b;
                    const int first = a == v.a0 && b == v.b0;
                    if (forward && dense) cr_gather(s.c, p, 1, q, 1, share, first);
                    else if (forward) cr_gather(s.c, p, xs.c, q, ys.c, share, first);
                    else if (dense) cr_gather(s.c, q, 1, p, 1, share, 0);
                    else cr_gather(s.c, q, ys.c, p, xs.c, share, 0);
                }
        }
}

CR_ONCE void cr_avgpool2d(cr_pool s, long include_pad, real divisor, const real *x, cr_strides xs, real *y, cr_strides ys) {
    const long threads = cr_pool_threads(s);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long n = 0; n < s.n; n++) cr_means(s, 1, include_pad, divisor, (real *)x + n * xs.n, xs, y + n * ys.n, ys);
}

CR_ONCE void cr_avgpool2d_backward(cr_pool s, long include_pad, real divisor, const real *dy, cr_strides ys, real *dx, cr_strides xs) {
    const long threads = cr_pool_threads(s);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long n = 0; n < s.n; n++) {
        cr_clear(&s, dx + n * xs.n, xs);
        cr_means(s, 0, include_pad, divisor, dx + n * xs.n, xs, (real *)dy + n * ys.n, ys);
    }
}
