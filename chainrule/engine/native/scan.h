/* A recurrent layer over whole sequences: long short-term memory, gated recurrent units, or plain tanh units, and the slopes of each.
 *
 * What whoever includes this file owes: kernels.h and what that asks for, and CR_GATES: 4 (LSTM, in the order i, f, g, o), 3 (GRU, in the
 * order r, z, n) or 1. All tensors are dense, time first, so that a step of a batch is one matrix and all steps are one too.
 *
 * The weights that recur are packed once a call into panels as wide as a tile. Rows are shared out over threads, which walk through time
 * each by itself, without waiting for one another. Inputs that are nearly all zero, as one-hot rows are, are gathered and not multiplied.
 * The slopes of the weights are one product over all steps of all rows.
 */

#if defined(__AVX512F__) && !defined(__clang__)
#pragma GCC target("prefer-vector-width=512") /* divisions and exponentials wait for nothing else */
#endif

typedef struct { long rows, steps, inputs, units, sparse; } scan_sizes;

enum { SCAN_DEPTH = 256, SCAN_SPARSE = 8 }; /* rows of a panel in the first cache; inputs for each that is not zero */

/* By e^2|x| - 1 alone, without the polynomial that cr_tanh has for small numbers: at most 2.5 units in the last place off. */
CR_INLINE real scan_tanh(real x) {
#ifdef CR_DOUBLE
    return cr_tanh(x);
#else
    const real a = fabsf(x), e = cr_expm1(2 * (a > 10 ? 10 : a));
    return copysignf(e / (e + 2), x);
#endif
}

CR_INLINE long scan_panels(long cols) { return cr_ceil(cols, CR_NR); }
/* Reals of a packed matrix, whose last panel is filled up. */
static inline long scan_packed(long depth, long cols) { return cr_round(depth * scan_panels(cols) * CR_NR); }

/* Columns [0, cols) of B (depth, cols) in panels, block of rows after block of rows: each block is [panel][row][CR_NR]. */
static void scan_pack(long depth, long cols, const real *b, long b_r, long b_c, real *to) {
    const long panels = scan_panels(cols), blocks = cr_ceil(depth, SCAN_DEPTH);
#pragma omp parallel for num_threads(CR_THREADS) schedule(static) if (CR_THREADS > 1)
    for (long job = 0; job < blocks * panels; job++) {
        const long block = job / panels, j = job % panels, first = block * SCAN_DEPTH, rows = cr_min(SCAN_DEPTH, depth - first);
        const long width = cr_min(CR_NR, cols - j * CR_NR);
        real *q = to + (first * panels + j * rows) * CR_NR;
        if (width < CR_NR) memset(q, 0, rows * CR_NR * sizeof(real));
        cr_copy2(rows, width, b + first * b_r + j * CR_NR * b_c, b_r, b_c, q, CR_NR);
    }
}

/* C (rows, cols) = A (rows, depth) B + beta C, B packed, from block `from` of it on; C and A have rows c_r and a_r apart. */
static void scan_product(long rows, long cols, long depth, const real *a, long a_r, const real *packed, real *c, long c_r, real beta) {
    const long panels = scan_panels(cols);
    const cr_even tiles = cr_evenly(rows, CR_MR);
    cr_out o = {c_r, 1, 1, beta, NULL, 0, 0};
    for (long first = 0; first < depth; first += SCAN_DEPTH, o.beta = 1) {
        const long deep = cr_min(SCAN_DEPTH, depth - first);
        const cr_walk w = {1, 0, 0, 1, 0, 0, deep, a_r, 1, CR_NR};
        for (long j = 0; j < panels; j++) {
            const real *panel = packed + (first * panels + j * deep) * CR_NR;
            for (long i = 0; i < tiles.parts; i++) {
                const long row = cr_begin(&tiles, i);
                cr_tile(cr_size(&tiles, i), cr_min(CR_NR, cols - j * CR_NR), &w, a + row * a_r + first, panel,
                        c + row * c_r + j * CR_NR, &o, 0, 0);
            }
        }
    }
}

/* What the inputs x (rows, inputs) of a step drive the gates by, added to the bias, into (rows, CR_GATES * units). */
static void scan_drive(const scan_sizes *s, long rows, const real *x, const real *turned, const real *bias, real *gates) {
    const long width = CR_GATES * s->units;
    for (long r = 0; r < rows; r++, x += s->inputs, gates += width) {
        memcpy(gates, bias, width * sizeof(real));
        for (long d = 0; d < s->inputs; d++) {
            const real v = x[d], *w = turned + d * width;
            if (v == 1)
#pragma omp simd
                for (long j = 0; j < width; j++) gates[j] += w[j];
            else if (v != 0)
#pragma omp simd
                for (long j = 0; j < width; j++) gates[j] += v * w[j];
        }
    }
}

#if CR_GATES == 4
/* Gates of what drives them, `pitch` apart, which may lie in the same place; c after and h after of one row. */
CR_INLINE void scan_cell(long units, long pitch, const real *driven, real *gates, const real *before, real *cell, real *hidden) {
    real *i = gates, *f = gates + units, *g = gates + 2 * units, *o = gates + 3 * units; /* loop by loop: all at once need more registers */
#pragma omp simd
    for (long j = 0; j < units; j++) i[j] = cr_sigmoid(driven[j]);
#pragma omp simd
    for (long j = 0; j < units; j++) f[j] = cr_sigmoid(driven[pitch + j]);
#pragma omp simd
    for (long j = 0; j < units; j++) g[j] = scan_tanh(driven[2 * pitch + j]);
#pragma omp simd
    for (long j = 0; j < units; j++) o[j] = cr_sigmoid(driven[3 * pitch + j]);
#pragma omp simd
    for (long j = 0; j < units; j++) cell[j] = f[j] * before[j] + i[j] * g[j];
#pragma omp simd
    for (long j = 0; j < units; j++) hidden[j] = o[j] * scan_tanh(cell[j]);
}

/* The slopes of what drives the gates; `cell_slope` is that of the cell after, and becomes that of the cell before. */
CR_INLINE void scan_cell_slopes(long units, long pitch, const real *restrict gates, const real *restrict before, const real *restrict cell,
                                const real *restrict slope, real *restrict cell_slope, real *restrict to) {
    const real *restrict is = gates, *restrict fs = gates + units, *restrict gs = gates + 2 * units, *restrict os = gates + 3 * units;
    real *restrict di = to, *restrict df = to + pitch, *restrict dg = to + 2 * pitch, *restrict d_o = to + 3 * pitch;
#pragma omp simd
    for (long j = 0; j < units; j++) {
        const real i = is[j], f = fs[j], g = gs[j], o = os[j], u = scan_tanh(cell[j]), dh = slope[j];
        const real dc = cell_slope[j] + dh * o * (1 - u * u);
        di[j] = dc * g * i * (1 - i);
        df[j] = dc * before[j] * f * (1 - f);
        dg[j] = dc * i * (1 - g * g);
        d_o[j] = dh * u * o * (1 - o);
        cell_slope[j] = dc * f;
    }
}
#elif CR_GATES == 3
/* `cell` holds what recurs into the candidate, inside the reset gate. */
CR_INLINE void scan_cell(long units, long pitch, const real *driven, real *gates, const real *before, const real *cell, real *hidden) {
    real *r = gates, *z = gates + units, *n = gates + 2 * units;
#pragma omp simd
    for (long j = 0; j < units; j++) r[j] = cr_sigmoid(driven[j]);
#pragma omp simd
    for (long j = 0; j < units; j++) z[j] = cr_sigmoid(driven[pitch + j]);
#pragma omp simd
    for (long j = 0; j < units; j++) n[j] = scan_tanh(driven[2 * pitch + j] + r[j] * cell[j]);
#pragma omp simd
    for (long j = 0; j < units; j++) hidden[j] = z[j] * before[j] + (1 - z[j]) * n[j];
}

/* The slopes of what drives the gates, and fourth that of what recurs into the candidate; `slope` becomes what passes to the state before
 * past all weights. */
CR_INLINE void scan_cell_slopes(long units, long pitch, const real *restrict gates, const real *restrict before, const real *restrict cell,
                                real *restrict slope, real *restrict to) {
    const real *restrict rs = gates, *restrict zs = gates + units, *restrict ns = gates + 2 * units;
    real *restrict dr = to, *restrict dz = to + pitch, *restrict dn = to + 2 * pitch, *restrict du = to + 3 * pitch;
#pragma omp simd
    for (long j = 0; j < units; j++) {
        const real r = rs[j], z = zs[j], n = ns[j], dh = slope[j], d = dh * (1 - z) * (1 - n * n);
        dr[j] = d * cell[j] * r * (1 - r);
        dz[j] = dh * (before[j] - n) * z * (1 - z);
        dn[j] = d;
        du[j] = d * r;
        slope[j] = dh * z;
    }
}
#endif

/* How many gates recur into the same sums as the inputs drive; the candidate of a GRU has its own. */
enum { SCAN_JOINT = CR_GATES == 3 ? 2 : CR_GATES };

long scan_forward_scratch(const scan_sizes *s) {
    const long width = CR_GATES * s->units;
    return scan_packed(s->units, SCAN_JOINT * s->units) + scan_packed(s->units, s->units)
        + cr_max(cr_round(s->inputs * width), cr_matmul_scratch(s->rows * s->steps, width, s->inputs));
}

/* x (steps, rows, inputs); w (gates * units, inputs), u (gates * units, units), bias (gates * units), own (units) the bias inside a GRU's
 * reset gate; hidden (steps + 1, rows, units), whose first step is there; gates (steps, rows, gates * units). cells are (steps + 1, rows,
 * units) for an LSTM, whose first step is there, and (steps, rows, units) for a GRU. */
void scan_forward(const scan_sizes *s, const real *x, const real *w, const real *u, const real *bias, const real *own, real *hidden,
                  real *cells, real *gates, real *scratch) {
    const long n = s->rows, h = s->units, width = CR_GATES * h, joint = SCAN_JOINT * h;
    real *const packed = scratch, *const candidate = packed + scan_packed(h, joint), *const rest = candidate + scan_packed(h, h);
    scan_pack(h, joint, u, 1, h, packed);
    if (CR_GATES == 3) scan_pack(h, h, u + joint * h, 1, h, candidate);
    if (s->sparse) cr_copy2(s->inputs, width, w, 1, s->inputs, rest, width);
    else cr_matmul(n * s->steps, width, s->inputs, x, s->inputs, 1, w, 1, s->inputs, gates, width, 1, 1, 0, bias, 0, 1, rest);
    const long threads = cr_max(cr_min(CR_THREADS, n), 1);
    (void)own, (void)cells;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long part = 0; part < threads; part++) {
        const long first = part * n / threads, rows = (part + 1) * n / threads - first;
        for (long t = 0; t < s->steps; t++) {
            const long at = t * n + first;
            real *g = gates + at * width;
            const real *before = hidden + at * h;
            if (s->sparse) scan_drive(s, rows, x + at * s->inputs, rest, bias, g);
            scan_product(rows, joint, h, before, h, packed, g, width, 1);
#if CR_GATES == 3
            for (long r = 0; r < rows; r++) memcpy(cells + (at + r) * h, own, h * sizeof(real));
            scan_product(rows, h, h, before, h, candidate, cells + at * h, h, 1);
#endif
            for (long r = 0; r < rows; r++, g += width) {
                real *after = hidden + (at + n + r) * h;
#if CR_GATES == 4
                scan_cell(h, h, g, g, cells + (at + r) * h, cells + (at + n + r) * h, after);
#elif CR_GATES == 3
                scan_cell(h, h, g, g, before + r * h, cells + (at + r) * h, after);
#else
#pragma omp simd
                for (long j = 0; j < h; j++) after[j] = scan_tanh(g[j]);
#endif
            }
        }
    }
}

/* Rows of slopes: of each gate, and for a GRU of what recurs into its candidate. A line apart, since rows whose distance is a power of two
 * would fall on the same few sets of the cache. */
static inline long scan_slope_row(const scan_sizes *s) { return (CR_GATES == 3 ? 4 : CR_GATES) * s->units + 16; }

long scan_backward_scratch(const scan_sizes *s) {
    const long width = CR_GATES * s->units, all = s->rows * s->steps;
    const long after = cr_max(cr_matmul_scratch(width, s->units, all), cr_matmul_scratch(width, s->inputs, all));
    return scan_packed(SCAN_JOINT * s->units, s->units) + scan_packed(s->units, s->units) + cr_round(all * scan_slope_row(s))
        + cr_max(cr_max(after, cr_round(s->inputs * width)), cr_matmul_scratch(all, s->inputs, width));
}

/* Given `slopes` (steps, rows, units), `slope_t` and `slope_n` apart, of the outputs, and those of the state after, `hidden_slope` and
 * `cell_slope` (rows, units), which become those of the state before. dx, as x, may be NULL; dw, du, dbias, down are as w, u, bias, own. */
void scan_backward(const scan_sizes *s, const real *x, const real *w, const real *u, const real *hidden, const real *cells,
                   const real *gates, const real *slopes, long slope_t, long slope_n, real *hidden_slope, real *cell_slope, real *dx,
                   real *dw, real *du, real *dbias, real *down, real *scratch) {
    const long n = s->rows, h = s->units, width = CR_GATES * h, joint = SCAN_JOINT * h, all = n * s->steps, row = scan_slope_row(s);
    real *const packed = scratch, *const candidate = packed + scan_packed(joint, h), *const driven = candidate + scan_packed(h, h);
    real *const rest = driven + cr_round(all * row);
    scan_pack(joint, h, u, h, 1, packed);
    if (CR_GATES == 3) scan_pack(h, h, u + joint * h, h, 1, candidate);
    const long threads = cr_max(cr_min(CR_THREADS, n), 1);
    (void)cell_slope, (void)down, (void)cells;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long part = 0; part < threads; part++) {
        const long first = part * n / threads, rows = (part + 1) * n / threads - first;
        real *const slope = hidden_slope + first * h;
        for (long t = s->steps - 1; t >= 0; t--) {
            const long at = t * n + first;
            const real *g = gates + at * width, *arriving = slopes + t * slope_t + first * slope_n;
            real *to = driven + at * row;
            for (long r = 0; r < rows; r++, arriving += slope_n) {
#pragma omp simd
                for (long j = 0; j < h; j++) slope[r * h + j] += arriving[j];
#if CR_GATES == 4
                scan_cell_slopes(h, h, g + r * width, cells + (at + r) * h, cells + (at + n + r) * h, slope + r * h,
                                 cell_slope + (first + r) * h, to + r * row);
#elif CR_GATES == 3
                scan_cell_slopes(h, h, g + r * width, hidden + (at + r) * h, cells + (at + r) * h, slope + r * h, to + r * row);
#else
                const real *after = hidden + (at + n + r) * h;
#pragma omp simd
                for (long j = 0; j < h; j++) to[r * row + j] = slope[r * h + j] * (1 - after[j] * after[j]);
#endif
            }
            scan_product(rows, h, joint, to, row, packed, slope, h, CR_GATES == 3);
            if (CR_GATES == 3) scan_product(rows, h, h, to + width, row, candidate, slope, h, 1);
        }
    }
    cr_matmul(joint, h, all, driven, 1, row, hidden, h, 1, du, h, 1, 1, 0, NULL, 0, 0, rest);
    if (CR_GATES == 3) cr_matmul(h, h, all, driven + width, 1, row, hidden, h, 1, du + joint * h, h, 1, 1, 0, NULL, 0, 0, rest);
    if (!s->sparse) cr_matmul(width, s->inputs, all, driven, 1, row, x, s->inputs, 1, dw, s->inputs, 1, 1, 0, NULL, 0, 0, rest);
    if (dx) cr_matmul(all, s->inputs, width, driven, row, 1, w, s->inputs, 1, dx, s->inputs, 1, 1, 0, NULL, 0, 0, rest);
    const long columns = CR_THREADS; /* which a thread of its own would not know */
#pragma omp parallel for num_threads(columns) schedule(static, 1) if (columns > 1)
    for (long part = 0; part < columns; part++) {
        const long from = part * width / columns, cols = (part + 1) * width / columns - from;
        memset(dbias + from, 0, cols * sizeof(real));
        for (long d = 0; s->sparse && d < s->inputs; d++) memset(rest + d * width + from, 0, cols * sizeof(real));
        for (long k = 0; k < all; k++) {
            const real *g = driven + k * row + from;
            real *b = dbias + from;
#pragma omp simd
            for (long j = 0; j < cols; j++) b[j] += g[j];
            for (long d = 0; s->sparse && d < s->inputs; d++) {
                const real v = x[k * s->inputs + d];
                real *to = rest + d * width + from;
                if (v != 0)
#pragma omp simd
                    for (long j = 0; j < cols; j++) to[j] += v * g[j];
            }
        }
        if (s->sparse) cr_copy2(cols, s->inputs, rest + from, 1, width, dw + from * s->inputs, s->inputs);
    }
#if CR_GATES == 3
    memset(down, 0, h * sizeof(real));
    for (long k = 0; k < all; k++)
#pragma omp simd
        for (long j = 0; j < h; j++) down[j] += driven[k * row + width + j];
#endif
}

/* Whether few inputs are other than zero. */
long scan_sparse(long count, const real *x) {
    long others = 0;
    for (long i = 0; i < count; i++) others += x[i] != 0;
    return others * SCAN_SPARSE <= count;
}
