/* The register tile: a few rows of one matrix times two vectors of columns of another, summed in registers over a walk through memory. */

/* Keep a vector in its register: gcc else reads it from memory again for each multiplication, and loads are what a small tile waits for. */
#if defined(CR_DOUBLE) && CR_BYTES < 32 /* a vector of four is two registers */
#define CR_HOLD(v)
#elif defined(__x86_64__)
#define CR_HOLD(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define CR_HOLD(v) __asm__("" : "+w"(v))
#else
#define CR_HOLD(v)
#endif
#define CR_INLINE static inline __attribute__((always_inline))
/* sizes at run time: compiled once a program, however many calls there are */
#ifdef __clang__
#define CR_ONCE static __attribute__((noinline, unused))
#else
#define CR_ONCE static __attribute__((noinline, noclone, unused))
#endif
enum { CR_VL = CR_BYTES / sizeof(real) > 4 ? CR_BYTES / sizeof(real) : 4, CR_NR = 2 * CR_VL, CR_MR = CR_ROWS };

typedef real cr_vec __attribute__((vector_size(CR_VL * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real cr_four __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef cr_int cr_ivec __attribute__((vector_size(CR_VL * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef cr_int cr_ifour __attribute__((vector_size(4 * sizeof(real))));

CR_INLINE long cr_min(long a, long b) { return a < b ? a : b; }
CR_INLINE long cr_max(long a, long b) { return a > b ? a : b; }
CR_INLINE long cr_ceil(long a, long b) { return (a + b - 1) / b; }
CR_INLINE long cr_round(long reals) { return cr_ceil(reals, 16) * 16; } /* to whole lines of the cache */
CR_INLINE cr_vec cr_load(const real *p) { return *(const cr_vec *)p; }
CR_INLINE void cr_store(real *p, cr_vec v) { *(cr_vec *)p = v; }

/* The sum over t1 x t2 x k of A[row] B[column]: where the next term of each lies. */
typedef struct { long t1, a1, b1, t2, a2, b2, k, a_r, a_k, b_k; } cr_walk;
/* What becomes of a sum: c = alpha sum + beta c + bias. */
typedef struct { long c_r, c_c; real alpha, beta; const real *bias; long bias_r, bias_c; } cr_out;

/* Put the sums of a tile, rows of CR_NR, where they belong, whatever the strides. */
CR_ONCE void cr_finish(long m, long n, const real *sums, real *c, const cr_out *o, const real *bias) {
    for (long r = 0; r < m; r++, sums += CR_NR)
        for (long q = 0; q < n; q++) {
            real *at = c + r * o->c_r + q * o->c_c, v = o->alpha * sums[q];
            if (o->beta != 0) v += o->beta * *at;
            if (bias) v += bias[r * o->bias_r + q * o->bias_c];
            *at = v;
        }
}

CR_INLINE void cr_term(int m, int nv, cr_vec acc[CR_MR][2], const real *a, long a_r, const real *b, long second) {
    cr_vec b0 = cr_load(b), b1 = b0;
    CR_HOLD(b0);
    if (nv > 1) {
        b1 = cr_load(b + second);
        CR_HOLD(b1);
    }
#pragma GCC unroll 16
    for (int r = 0; r < m; r++) {
        const real s = a[r * a_r];
        acc[r][0] += s * b0;
        if (nv > 1) acc[r][1] += s * b1;
    }
}

/* m <= CR_MR rows and n <= CR_NR columns; B needs CR_VL readable elements a row where n is less. */
CR_INLINE void cr_tile_of(int m, int nv, long n, const cr_walk *w, const real *a, const real *b, real *c, const cr_out *o,
                         long row, long col) {
    cr_vec acc[CR_MR][2];
    const long second = nv > 1 ? n - CR_VL : 0;
#pragma GCC unroll 16
    for (int r = 0; r < m; r++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) acc[r][v] = (cr_vec){0};
    const long a_r = w->a_r, a_k = w->a_k, b_k = w->b_k;
    for (long i = 0; i < w->t1; i++)
        for (long j = 0; j < w->t2; j++) {
            const real *ap = a + i * w->a1 + j * w->a2, *bp = b + i * w->b1 + j * w->b2;
            for (long k = w->k; k > 0; k--, ap += a_k, bp += b_k) cr_term(m, nv, acc, ap, a_r, bp, second);
        }
    const real alpha = o->alpha, beta = o->beta, *bias = o->bias ? o->bias + row * o->bias_r + col * o->bias_c : NULL;
    if (o->c_c == 1 && n >= CR_VL && (!bias || o->bias_c == 1)) {
        /* Straight from the registers. The second vector ends at the last column: both are read before either is written. */
        const long c_r = o->c_r, bias_r = o->bias_r;
#pragma GCC unroll 16
        for (int r = 0; r < m; r++, c += c_r) {
            cr_vec v0 = acc[r][0] * alpha, v1 = acc[r][nv - 1] * alpha;
            if (beta != 0) v0 += beta * cr_load(c), v1 += beta * cr_load(c + second);
            if (bias) v0 += cr_load(bias + r * bias_r), v1 += cr_load(bias + r * bias_r + second);
            cr_store(c, v0);
            if (nv > 1) cr_store(c + second, v1);
        }
        return;
    }
    real sums[CR_MR * CR_NR] __attribute__((aligned(CR_ALIGN)));
#pragma GCC unroll 16
    for (int r = 0; r < m; r++) {
        if (nv > 1) cr_store(sums + r * CR_NR + second, acc[r][1]);
        cr_store(sums + r * CR_NR, acc[r][0]);
    }
    cr_finish(m, n, sums, c, o, bias);
}

#define CR_CASE(M) \
    case M: \
        if (n > CR_VL) cr_tile_of(M, 2, n, w, a, b, c, o, row, col); \
        else cr_tile_of(M, 1, n, w, a, b, c, o, row, col); \
        break;
CR_ONCE void cr_tile(long m, long n, const cr_walk *w, const real *a, const real *b, real *c, const cr_out *o, long row, long col) {
    for (long r = 0; r < m; r++) __builtin_prefetch(c + r * o->c_r, 1);
    switch (m) {
        CR_CASE(1) CR_CASE(2) CR_CASE(3) CR_CASE(4) CR_CASE(5) CR_CASE(6)
#if CR_ROWS > 6
        CR_CASE(7) CR_CASE(8) CR_CASE(9) CR_CASE(10) CR_CASE(11) CR_CASE(12)
#endif
    }
}
#undef CR_CASE

/* A length cut into parts of at most `size`. Even: sizes differ by one at most, for rows. Panels of CR_NR columns are whole, except that
 * the last two share what is left where it would not fill a vector. */
typedef struct { long parts, least, more; } cr_even;
CR_INLINE cr_even cr_evenly(long length, long size) {
    const long parts = cr_max(cr_ceil(length, size), 1);
    return (cr_even){parts, length / parts, length % parts};
}
CR_INLINE long cr_begin(const cr_even *e, long i) { return i * e->least + cr_min(i, e->more); }
CR_INLINE long cr_size(const cr_even *e, long i) { return e->least + (i < e->more); }
CR_INLINE long cr_panel(long cols, long i) {
    const long parts = cr_ceil(cols, CR_NR), rest = cols - (parts - 1) * CR_NR;
    if (i >= parts) return cols;
    return i == parts - 1 && parts > 1 && rest < CR_VL ? i * CR_NR - (CR_NR - rest) / 2 : i * CR_NR;
}

#if defined(__clang__) || __GNUC__ >= 12
#define CR_MIX(p, q, i, j, k, l) __builtin_shufflevector(p, q, i, j, k, l)
#else
#define CR_MIX(p, q, i, j, k, l) __builtin_shuffle(p, q, (cr_ifour){i, j, k, l})
#endif

/* Four by four: rows of p (stride s) become columns of q (stride t). */
CR_INLINE void cr_turn4(const real *p, long s, real *q, long t) {
    const cr_four a = *(const cr_four *)p, b = *(const cr_four *)(p + s);
    const cr_four c = *(const cr_four *)(p + 2 * s), d = *(const cr_four *)(p + 3 * s);
    const cr_four ac = CR_MIX(a, c, 0, 4, 1, 5), AC = CR_MIX(a, c, 2, 6, 3, 7);
    const cr_four bd = CR_MIX(b, d, 0, 4, 1, 5), BD = CR_MIX(b, d, 2, 6, 3, 7);
    *(cr_four *)q = CR_MIX(ac, bd, 0, 4, 1, 5);
    *(cr_four *)(q + t) = CR_MIX(ac, bd, 2, 6, 3, 7);
    *(cr_four *)(q + 2 * t) = CR_MIX(AC, BD, 0, 4, 1, 5);
    *(cr_four *)(q + 3 * t) = CR_MIX(AC, BD, 2, 6, 3, 7);
}

/* Copy rows x cols from strides (p_r, p_c) to dense columns, row stride q_r. */
CR_ONCE void cr_copy2(long rows, long cols, const real *p, long p_r, long p_c, real *q, long q_r) {
    if (p_c == 1 && cols >= 4) {
        for (long i = 0; i < rows; i++, p += p_r, q += q_r) {
            __builtin_prefetch(p + 8 * p_r);
            for (long j = 0; j + CR_VL <= cols; j += CR_VL) cr_store(q + j, cr_load(p + j));
            if (cols % CR_VL && cols > CR_VL) cr_store(q + cols - CR_VL, cr_load(p + cols - CR_VL));
            else if (cols < CR_VL) {
                for (long j = 0; j + 4 < cols; j += 4) *(cr_four *)(q + j) = *(const cr_four *)(p + j);
                *(cr_four *)(q + cols - 4) = *(const cr_four *)(p + cols - 4);
            }
        }
        return;
    }
    long done = 0;
    if (p_r == 1 && cols >= 4)
        for (; done + 4 <= rows; done += 4) {
            long j = 0;
            for (; j + 4 <= cols; j += 4) cr_turn4(p + done + j * p_c, p_c, q + done * q_r + j, q_r);
            for (; j < cols; j++)
                for (long i = done; i < done + 4; i++) q[i * q_r + j] = p[i + j * p_c];
        }
    for (long i = done; i < rows; i++)
        for (long j = 0; j < cols; j++) q[i * q_r + j] = p[i * p_r + j * p_c];
}
