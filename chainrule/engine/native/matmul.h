/* Matrix products over any strides: register tiles over packed blocks, or dot products where both run along the summed index. */

enum { CR_KC = 256, CR_NC = 512, CR_MC = 96 }; /* a block of B in the third cache, of A in the second, a panel of B in the first */

typedef struct {
    long m, n, k;
    const real *a; long a_r, a_c;
    const real *b; long b_r, b_c;
    real *c;
    cr_out o;
} cr_product;

static inline long cr_matmul_scratch_one(long m, long n, long k) {
    const long depth = cr_min(k, CR_KC), rows = cr_ceil(cr_min(m, CR_MC), CR_MR) * CR_MR;
    return cr_round(depth * ((cr_ceil(cr_min(n, CR_NC), CR_NR) + 1) * CR_NR + rows));
}

/* Rows this far apart, in reals, fall on few sets of the first cache and push each other out. */
CR_INLINE int cr_collide(long stride) { return stride * (long)sizeof(real) % 1024 == 0 && stride != 0; }

/* A rectangle of C on one thread. */
CR_ONCE void cr_product_region(const cr_product *p, long row0, long row1, long col0, long col1, real *scratch) {
    const long m = row1 - row0, n = col1 - col0;
    const int pack_b = p->b_c != 1 || n < CR_VL || (m > 4 * CR_MR && p->k > 64);
    const int pack_a = n > CR_NR && p->k > 16 && (n > 8 * CR_NR || cr_collide(p->a_r) || cr_collide(p->a_c));
    const long kc = pack_a || pack_b ? CR_KC : cr_max(p->k, 1), nc = pack_a || pack_b ? CR_NC : n, mc = pack_a ? CR_MC : m;
    real *const packed_b = scratch, *const packed_a = scratch + cr_min(p->k, CR_KC) * (cr_ceil(cr_min(n, CR_NC), CR_NR) + 1) * CR_NR;
    cr_out o = p->o;
    for (long jc = 0; jc < n; jc += nc) {
        const long cols = cr_min(nc, n - jc), panels = cr_ceil(cols, CR_NR);
        for (long pc = 0; pc == 0 || pc < p->k; pc += kc) {
            const long depth = cr_min(kc, p->k - pc);
            const real *b = p->b + pc * p->b_r + (col0 + jc) * p->b_c;
            if (pc) o.beta = 1, o.bias = NULL;
            else o.beta = p->o.beta, o.bias = p->o.bias;
            for (long j = 0; pack_b && j < panels; j++) {
                const long at = cr_panel(cols, j), width = cr_panel(cols, j + 1) - at;
                real *q = packed_b + j * depth * CR_NR;
                cr_copy2(depth, width, b + at * p->b_c, p->b_r, p->b_c, q, CR_NR);
                for (long k = 0; width < CR_VL && k < depth; k++)
                    for (long v = width; v < CR_VL; v++) q[k * CR_NR + v] = 0;
            }
            for (long ic = 0; ic < m; ic += mc) {
                const cr_even tiles = cr_evenly(cr_min(mc, m - ic), CR_MR);
                const real *a = p->a + (row0 + ic) * p->a_r + pc * p->a_c;
                for (long i = 0; pack_a && i < tiles.parts; i++)
                    cr_copy2(depth, cr_size(&tiles, i), a + cr_begin(&tiles, i) * p->a_r, p->a_c, p->a_r, packed_a + i * depth * CR_MR,
                             CR_MR);
                const cr_walk w = {1, 0, 0, 1, 0, 0, depth, pack_a ? 1 : p->a_r, pack_a ? CR_MR : p->a_c, pack_b ? CR_NR : p->b_r};
                for (long j = 0; j < panels; j++) {
                    const long left = cr_panel(cols, j), width = cr_panel(cols, j + 1) - left, col = col0 + jc + left;
                    const real *panel = pack_b ? packed_b + j * depth * CR_NR : b + left;
                    for (long i = 0; i < tiles.parts; i++) {
                        const long at = cr_begin(&tiles, i), row = row0 + ic + at;
                        cr_tile(cr_size(&tiles, i), width, &w, pack_a ? packed_a + i * depth * CR_MR : a + at * p->a_r, panel,
                                p->c + row * o.c_r + col * o.c_c, &o, row, col);
                    }
                }
            }
        }
    }
}

CR_INLINE void cr_dots_of(int m, int n, const cr_product *p, long row, long col, long cols, real *sums) {
    cr_vec acc[3][4];
    const real *a[3], *b[4];
#pragma GCC unroll 4
    for (int r = 0; r < m; r++) a[r] = p->a + (row + r) * p->a_r;
#pragma GCC unroll 4
    for (int q = 0; q < n; q++) b[q] = p->b + (col + cr_min(q, cols - 1)) * p->b_c;
#pragma GCC unroll 4
    for (int r = 0; r < m; r++)
#pragma GCC unroll 4
        for (int q = 0; q < n; q++) acc[r][q] = (cr_vec){0};
    long k = 0;
    for (; k + CR_VL <= p->k; k += CR_VL) {
        cr_vec av[3];
#pragma GCC unroll 4
        for (int r = 0; r < m; r++) {
            av[r] = cr_load(a[r] + k);
            CR_HOLD(av[r]);
        }
#pragma GCC unroll 4
        for (int q = 0; q < n; q++) {
            cr_vec bv = cr_load(b[q] + k);
            CR_HOLD(bv);
#pragma GCC unroll 4
            for (int r = 0; r < m; r++) acc[r][q] += av[r] * bv;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < m; r++)
#pragma GCC unroll 4
        for (int q = 0; q < n; q++) cr_store(sums + (r * 4 + q) * CR_VL, acc[r][q]);
}

/* m x 4 dot products: their vectors of partial sums across, and what is left of the summed index. */
CR_ONCE void cr_dots_finish(long m, long n, const cr_product *p, long row, long col, const real *sums) {
    const long whole = p->k / CR_VL * CR_VL;
    for (long r = 0; r < m; r++)
        for (long q = 0; q < n; q++) {
            const real *across = sums + (r * 4 + q) * CR_VL;
            cr_four part = *(const cr_four *)across;
            for (long v = 4; v < CR_VL; v += 4) part += *(const cr_four *)(across + v);
            real sum = (part[0] + part[1]) + (part[2] + part[3]);
            const real *a = p->a + (row + r) * p->a_r, *b = p->b + (col + q) * p->b_c;
            for (long k = whole; k < p->k; k++) sum += a[k] * b[k];
            real *at = p->c + (row + r) * p->o.c_r + (col + q) * p->o.c_c, v = p->o.alpha * sum;
            if (p->o.beta != 0) v += p->o.beta * *at;
            if (p->o.bias) v += p->o.bias[(row + r) * p->o.bias_r + (col + q) * p->o.bias_c];
            *at = v;
        }
}

CR_ONCE void cr_dots(const cr_product *p, long row0, long row1, long col0, long col1) {
    real sums[12 * CR_VL] __attribute__((aligned(CR_ALIGN)));
    const cr_even tiles = cr_evenly(row1 - row0, 3);
    for (long col = col0; col < col1; col += 4) {
        const long n = cr_min(4, col1 - col);
        for (long i = 0; i < tiles.parts; i++) {
            const long row = row0 + cr_begin(&tiles, i), m = cr_size(&tiles, i);
            switch (m * 2 + (n > 2)) {
                case 2: cr_dots_of(1, 2, p, row, col, n, sums); break;
                case 3: cr_dots_of(1, 4, p, row, col, n, sums); break;
                case 4: cr_dots_of(2, 2, p, row, col, n, sums); break;
                case 5: cr_dots_of(2, 4, p, row, col, n, sums); break;
                case 6: cr_dots_of(3, 2, p, row, col, n, sums); break;
                default: cr_dots_of(3, 4, p, row, col, n, sums);
            }
            cr_dots_finish(m, n, p, row, col, sums);
        }
    }
}

static inline long cr_matmul_scratch(long M, long N, long K) {
    return CR_THREADS * cr_max(cr_matmul_scratch_one(M, N, K), cr_matmul_scratch_one(N, M, K));
}

CR_ONCE void cr_matmul(long M, long N, long K, const real *A, long a_r, long a_c, const real *B, long b_r, long b_c, real *C, long c_r,
                       long c_c, real alpha, real beta, const real *bias, long bias_r, long bias_c, real *scratch) {
    if (M <= 0 || N <= 0) return;
    cr_product p = {M, N, K, A, a_r, a_c, B, b_r, b_c, C, {c_r, c_c, alpha, beta, bias, bias_r, bias_c}};
    if (c_r == 1 && c_c != 1) p = (cr_product){N, M, K, B, b_c, b_r, A, a_c, a_r, C, {c_c, c_r, alpha, beta, bias, bias_c, bias_r}};
    const int dots = p.a_c == 1 && p.b_r == 1 && p.m < 24 && 16 * p.m <= K;
    const long each = cr_matmul_scratch_one(p.m, p.n, p.k);
    const long threads = (double)M * N * K > CR_ALONE ? CR_THREADS : 1;
    long down = 1; /* threads along the rows: as near to squares as their number allows */
    for (long d = 1; d <= threads; d++)
        if (threads % d == 0 && cr_max(p.m / d, p.n * d / threads) < cr_max(p.m / down, p.n * down / threads)) down = d;
    const long across = threads / down;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long t = 0; t < threads; t++) {
        const long i = t / across, j = t % across, panels = cr_ceil(p.n, CR_NR);
        const cr_even tiles = cr_evenly(p.m, CR_MR);
        const long row0 = cr_begin(&tiles, i * tiles.parts / down), row1 = cr_begin(&tiles, (i + 1) * tiles.parts / down);
        const long col0 = cr_panel(p.n, j * panels / across), col1 = cr_panel(p.n, (j + 1) * panels / across);
        if (row0 == row1 || col0 == col1) continue;
        if (dots) cr_dots(&p, row0, row1, col0, col1);
        else cr_product_region(&p, row0, row1, col0, col1, scratch + t * each);
    }
}
