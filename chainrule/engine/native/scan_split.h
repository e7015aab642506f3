/* The layer of scan.h with its products as three of bfloat16 (split.h).
 *
 * Each gate has a block of columns, filled up to whole groups, in what is driven and in its slopes: scan.h's gates, and for a GRU a fourth,
 * what recurs into the candidate. Rows are shared out over threads in pairs. The slopes of what drives the gates are packed while they
 * are in the first cache, for both products that read them, and stored as nothing else.
 */

#ifdef CR_SPLIT
enum { SCAN_BLOCKS = CR_GATES == 3 ? 4 : CR_GATES, SCAN_READING = CR_GATES };

/* Whether a block is read into, and whether it is recurred into. */
CR_INLINE int scan_reads(long block) { return block < SCAN_READING; }
CR_INLINE int scan_recurs(long block) { return CR_GATES != 3 || block != 2; }
/* Which gate's weights recur into a block. */
CR_INLINE long scan_gate(long block) { return CR_GATES == 3 && block == 3 ? 2 : block; }

typedef struct {
    long rows, pairs, blocks, deep, read; /* pairs of rows a step; groups that hold units, all gates, inputs */
    long wide, row;                       /* columns of all gates, and a row of them, a line longer so that rows do not collide */
} scan_layout;

static scan_layout scan_laid_out(const scan_sizes *s) {
    scan_layout l = {s->rows, cr_ceil(s->rows, 2), split_blocks(s->units), 0, split_blocks(s->inputs), 0, 0};
    l.deep = SCAN_BLOCKS * l.blocks, l.wide = l.deep * SPLIT_K, l.row = l.wide + 16;
    return l;
}
/* The rows of one of `parts`, as pairs. */
CR_INLINE long scan_first(const scan_layout *l, long part, long parts) { return cr_min(part * l->pairs / parts * 2, l->rows); }
CR_INLINE long scan_parts(const scan_layout *l) { return cr_max(cr_min(CR_THREADS, l->pairs), 1); }
static inline long scan_most(const scan_layout *l, long parts) { return cr_ceil(cr_ceil(l->pairs, parts) * 2, SPLIT_K) * SPLIT_K; }

/* Reals that one thread's step takes, forward: rows as they are packed and what they drive. */
static inline long scan_step_forward(const scan_sizes *s, const scan_layout *l, long parts) {
    const long most = scan_most(l, parts), depth = l->blocks + (s->sparse ? 0 : l->read);
    return split_packed(most, depth * SPLIT_K) + most * l->row;
}
long scan_forward_split_scratch(const scan_sizes *s) {
    const scan_layout l = scan_laid_out(s);
    const long parts = scan_parts(&l), depth = l.blocks + (s->sparse ? 0 : l.read);
    return l.deep * depth * SPLIT_GROUP / 2 + l.wide * (1 + (s->sparse ? s->inputs : 0)) + parts * scan_step_forward(s, &l, parts);
}

/* What the biases and inputs that are not zero add to a row of what is driven. */
CR_INLINE void scan_add(const scan_sizes *s, const scan_layout *l, const real *x, const real *turned, const real *bias, real *driven) {
    const long wide = l->wide, read = SCAN_READING * l->blocks * SPLIT_K;
    long d = 0;
    while (s->sparse && d < s->inputs && x[d] == 0) d++;
    if (s->sparse && d < s->inputs) {
        const real v = x[d], *w = turned + d * wide;
#pragma omp simd
        for (long j = 0; j < read; j++) driven[j] += bias[j] + v * w[j];
    } else
#pragma omp simd
        for (long j = 0; j < read; j++) driven[j] += bias[j];
#pragma omp simd
    for (long j = read; j < wide; j++) driven[j] += bias[j];
    for (d++; s->sparse && d < s->inputs; d++) {
        const real v = x[d], *w = turned + d * wide;
        if (v != 0)
#pragma omp simd
            for (long j = 0; j < read; j++) driven[j] += v * w[j];
    }
}

/* As scan_forward. */
void scan_forward_split(const scan_sizes *s, const real *x, const real *w, const real *u, const real *bias, const real *own, real *hidden,
                        real *cells, real *gates, real *scratch) {
    const scan_layout l = scan_laid_out(s);
    const long n = s->rows, h = s->units, pitch = l.blocks * SPLIT_K, read = s->sparse ? 0 : l.read, depth = l.blocks + read;
    const long parts = scan_parts(&l), step = depth * SPLIT_GROUP, most = scan_most(&l, parts);
    split_half *const weights = (split_half *)scratch;
    real *const biases = scratch + l.deep * step / 2, *const turned = biases + l.wide;
    real *const rest = turned + (s->sparse ? s->inputs * l.wide : 0);
    memset(biases, 0, (rest - biases) * sizeof(real));
    for (long g = 0; g < SCAN_BLOCKS; g++) {
        split_half *to = weights + g * l.blocks * step;
        if (scan_recurs(g)) split_columns(h, h, u + scan_gate(g) * h * h, h, to, step);
        if (scan_reads(g) && read) split_columns(h, s->inputs, w + g * h * s->inputs, s->inputs, to + l.blocks * SPLIT_GROUP, step);
        const real *b = scan_reads(g) ? bias + g * h : own;
        if (b) memcpy(biases + g * pitch, b, h * sizeof(real));
        if (s->sparse && scan_reads(g)) cr_copy2(s->inputs, h, w + g * h * s->inputs, 1, s->inputs, turned + g * pitch, l.wide);
    }
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (long part = 0; part < parts; part++) {
        const long first = scan_first(&l, part, parts), rows = scan_first(&l, part + 1, parts) - first;
        split_half *const packed = (split_half *)(rest + part * scan_step_forward(s, &l, parts));
        real *const driven = (real *)packed + split_packed(most, depth * SPLIT_K);
        memset(packed, 0, split_packed(most, depth * SPLIT_K) * sizeof(real));
        for (long r = 0; r < rows; r++) split_row(hidden + (first + r) * h, h, packed + r / 32 * step + split_row_at(r % 32));
        split_begin();
        for (long t = 0; t < s->steps; t++) {
            const long at = t * n + first;
            for (long r = 0; read && r < rows; r++)
                split_row(x + (at + r) * s->inputs, s->inputs, packed + r / 32 * step + l.blocks * SPLIT_GROUP + split_row_at(r % 32));
            for (long j = 0; j < l.deep; j++) {
                const long from = scan_recurs(j / l.blocks) ? 0 : l.blocks, to = scan_reads(j / l.blocks) ? depth : l.blocks;
                for (long r = 0; r < rows; r += 32)
                    split_block(cr_min(rows - r, 32), to - from, packed + r / 32 * step + from * SPLIT_GROUP, SPLIT_GROUP,
                                weights + j * step + from * SPLIT_GROUP, SPLIT_GROUP, driven + r * l.row + j * SPLIT_K, l.row, 0);
            }
            for (long r = 0; r < rows; r++) {
                real *now = driven + r * l.row, *after = hidden + (at + n + r) * h;
                scan_add(s, &l, x + (at + r) * s->inputs, turned, biases, now);
#if CR_GATES == 4
                scan_cell(h, pitch, now, gates + (at + r) * 4 * h, cells + (at + r) * h, cells + (at + n + r) * h, after);
#elif CR_GATES == 3
                memcpy(cells + (at + r) * h, now + 3 * pitch, h * sizeof(real));
                scan_cell(h, pitch, now, gates + (at + r) * 3 * h, hidden + (at + r) * h, cells + (at + r) * h, after);
#else
#pragma omp simd
                for (long j = 0; j < h; j++) after[j] = scan_tanh(now[j]);
#endif
                split_row(after, h, packed + r / 32 * step + split_row_at(r % 32));
            }
        }
        split_end();
    }
}

/* Reals that one thread's step takes, backward: packed slopes, those of the state, of the inputs and of the biases, two rows as they are,
 * and for rare inputs the slopes of their weights. */
static inline long scan_step_backward(const scan_sizes *s, const scan_layout *l, long parts) {
    const long most = scan_most(l, parts);
    return split_packed(most, l->wide) + most * (l->blocks + l->read) * SPLIT_K + (3 + (s->sparse ? s->inputs : 0)) * l->row;
}
long scan_backward_split_scratch(const scan_sizes *s) {
    const scan_layout l = scan_laid_out(s);
    const long parts = scan_parts(&l), all = cr_ceil(s->steps * l.pairs, 16);
    return (l.blocks * l.deep + l.read * l.deep + all * (l.deep + l.blocks + l.read)) * SPLIT_GROUP / 2
        + parts * scan_step_backward(s, &l, parts) + (l.blocks + l.read) * SPLIT_K * l.row;
}

/* Rows (steps, rows, n), in pairs, as A whose rows are the columns and whose terms are the rows: group k of all columns, then k + 1. */
static void scan_turned(const scan_sizes *s, const scan_layout *l, const real *x, long n, long all, split_half *to) {
    const long step = split_blocks(n) * SPLIT_GROUP;
    const long threads = CR_THREADS;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long k = 0; k < all; k++) {
        split_half *group = to + k * step;
        for (long q = 16 * k; q < 16 * k + 16; q++) {
            const long t = q / l->pairs, r = q % l->pairs * 2;
            split_half *line = group + q % 16 * SPLIT_LINE;
            const real *row = x + (t * l->rows + r) * n;
            if (t < s->steps && r + 1 < l->rows) split_pairs(row, row + n, n, line, SPLIT_GROUP, NULL);
            else for (long j = 0; j < split_blocks(n); j++) {
                real alone[2][SPLIT_K] = {{0}};
                if (t < s->steps) memcpy(alone[0], row + j * SPLIT_K, cr_min(SPLIT_K, n - j * SPLIT_K) * sizeof(real));
                split_pairs(alone[0], alone[1], SPLIT_K, line + j * SPLIT_GROUP, 0, NULL);
            }
        }
        for (long tile = 0; tile < split_blocks(n) * 4; tile++) split_turn(group + tile * SPLIT_TILE);
    }
}

/* The slopes (columns of all gates) of the weights by which `blocks` groups of numbers drive them, those of some gates. */
static void scan_of_weights(const scan_layout *l, long blocks, long all, const split_half *numbers, const split_half *slopes, int recurring,
                            real *to) {
    const long parts = cr_max(cr_min(CR_THREADS, l->deep), 1);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (long part = 0; part < parts; part++) {
        split_begin();
        for (long k = 0; k < all; k += SPLIT_CHUNK)
            for (long j = part * l->deep / parts; j < (part + 1) * l->deep / parts; j++)
                for (long i = 0; (recurring ? scan_recurs : scan_reads)(j / l->blocks) && i < blocks; i++)
                    split_block(32, cr_min(SPLIT_CHUNK, all - k), numbers + (k * blocks + i) * SPLIT_GROUP, blocks * SPLIT_GROUP,
                                slopes + (k * l->deep + j) * SPLIT_GROUP, l->deep * SPLIT_GROUP, to + i * SPLIT_K * l->row + j * SPLIT_K,
                                l->row, k > 0);
        split_end();
    }
}

/* As scan_backward. */
void scan_backward_split(const scan_sizes *s, const real *x, const real *w, const real *u, const real *hidden, const real *cells,
                         const real *gates, const real *slopes, long slope_t, long slope_n, real *hidden_slope, real *cell_slope, real *dx,
                         real *dw, real *du, real *dbias, real *down, real *scratch) {
    const scan_layout l = scan_laid_out(s);
    const long n = s->rows, h = s->units, pitch = l.blocks * SPLIT_K, all = cr_ceil(s->steps * l.pairs, 16), step = l.deep * SPLIT_GROUP;
    const long parts = scan_parts(&l), most = scan_most(&l, parts), each = scan_step_backward(s, &l, parts);
    split_half *const recur = (split_half *)scratch, *const reading = recur + l.blocks * step, *const sent = reading + l.read * step;
    split_half *const numbers = sent + all * step, *const inputs = numbers + all * l.blocks * SPLIT_GROUP;
    real *const own_parts = (real *)(inputs + all * l.read * SPLIT_GROUP), *const product = own_parts + parts * each;
    for (long g = 0; g < SCAN_BLOCKS; g++) {
        if (scan_recurs(g)) split_matrix(h, h, u + scan_gate(g) * h * h, h, recur + g * l.blocks * SPLIT_GROUP, step);
        if (scan_reads(g) && dx) split_matrix(h, s->inputs, w + g * h * s->inputs, s->inputs, reading + g * l.blocks * SPLIT_GROUP, step);
    }
    memset(sent + (all - 1) * step, 0, step * sizeof(split_half)); /* where the last group is not full */
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (long part = 0; part < parts; part++) {
        const long first = scan_first(&l, part, parts), rows = scan_first(&l, part + 1, parts) - first, units = l.blocks * SPLIT_K;
        real *const mine = own_parts + part * each, *const sums = mine, *const of_rare = sums + l.row;
        real *const two = of_rare + (s->sparse ? s->inputs : 0) * l.row, *const slope = two + 2 * l.row;
        real *const of_inputs = slope + most * units;
        split_half *const packed = (split_half *)(of_inputs + most * l.read * SPLIT_K);
        memset(mine, 0, each * sizeof(real));
        for (long r = 0; r < rows; r++) memcpy(slope + r * units, hidden_slope + (first + r) * h, h * sizeof(real));
        split_begin();
        for (long t = s->steps - 1; t >= 0; t--) {
            for (long r = 0; r < rows; r++) {
                const long at = t * n + first + r;
                const real *arriving = slopes + t * slope_t + (first + r) * slope_n, *g = gates + at * CR_GATES * h;
                real *now = slope + r * units, *to = two + r % 2 * l.row;
#pragma omp simd
                for (long j = 0; j < h; j++) now[j] += arriving[j];
#if CR_GATES == 4
                scan_cell_slopes(h, pitch, g, cells + at * h, cells + (at + n) * h, now, cell_slope + (first + r) * h, to);
#elif CR_GATES == 3
                scan_cell_slopes(h, pitch, g, hidden + at * h, cells + at * h, now, to);
#else
                const real *after = hidden + (at + n) * h;
#pragma omp simd
                for (long j = 0; j < h; j++) to[j] = now[j] * (1 - after[j] * after[j]);
#endif
                for (long d = 0; s->sparse && d < s->inputs; d++) {
                    const real v = x[at * s->inputs + d];
                    real *of = of_rare + d * l.row;
                    if (v != 0)
#pragma omp simd
                        for (long j = 0; j < SCAN_READING * pitch; j++) of[j] += v * to[j];
                }
                if (r % 2 == 0 && r + 1 < rows) continue;
                if (r % 2 == 0) memset(two + l.row, 0, l.wide * sizeof(real));
#pragma omp simd
                for (long j = 0; j < l.wide; j++) sums[j] += two[j] + two[l.row + j];
                const long q = t * l.pairs + (first + r) / 2, even = r - r % 2;
                split_pairs(two, two + l.row, l.wide, sent + q / 16 * step + q % 16 * SPLIT_LINE, SPLIT_GROUP,
                            packed + even / 32 * step + split_row_at(even % 32));
            }
            for (long r = 0; r < rows; r += 32) {
                const long here = cr_min(rows - r, 32);
                const split_half *a = packed + r / 32 * step;
                for (long g = 0; g < SCAN_BLOCKS; g++)
                    for (long k = 0; scan_recurs(g) && k < l.blocks; k += SPLIT_CHUNK)
                        for (long j = 0; j < l.blocks; j++)
                            split_block(here, cr_min(SPLIT_CHUNK, l.blocks - k), a + (g * l.blocks + k) * SPLIT_GROUP, SPLIT_GROUP,
                                        recur + j * step + (g * l.blocks + k) * SPLIT_GROUP, SPLIT_GROUP,
                                        slope + r * units + j * SPLIT_K, units, CR_GATES == 3 || g + k > 0);
                for (long j = 0; dx && j < l.read; j++)
                    split_block(here, SCAN_READING * l.blocks, a, SPLIT_GROUP, reading + j * step, SPLIT_GROUP,
                                of_inputs + r * l.read * SPLIT_K + j * SPLIT_K, l.read * SPLIT_K, 0);
            }
            for (long r = 0; dx && r < rows; r++)
                memcpy(dx + (t * n + first + r) * s->inputs, of_inputs + r * l.read * SPLIT_K, s->inputs * sizeof(real));
        }
        split_end();
        for (long r = 0; r < rows; r++) memcpy(hidden_slope + (first + r) * h, slope + r * units, h * sizeof(real));
    }
    for (long part = 1; part < parts; part++)
        for (long j = 0; j < (1 + (s->sparse ? s->inputs : 0)) * l.row; j++) own_parts[j] += own_parts[part * each + j];
    scan_turned(s, &l, hidden, h, all, numbers);
    scan_of_weights(&l, l.blocks, all, numbers, sent, 1, product);
    real *const read = product + l.blocks * SPLIT_K * l.row;
    if (!s->sparse) {
        scan_turned(s, &l, x, s->inputs, all, inputs);
        scan_of_weights(&l, l.read, all, inputs, sent, 0, read);
    }
    for (long g = 0; g < SCAN_BLOCKS; g++) {
        if (scan_recurs(g)) cr_copy2(h, h, product + g * pitch, 1, l.row, du + scan_gate(g) * h * h, h);
        if (!scan_reads(g)) memcpy(down, own_parts + g * pitch, h * sizeof(real));
        else {
            memcpy(dbias + g * h, own_parts + g * pitch, h * sizeof(real));
            cr_copy2(h, s->inputs, (s->sparse ? own_parts + l.row : read) + g * pitch, 1, l.row, dw + g * h * s->inputs, s->inputs);
        }
    }
    (void)cell_slope, (void)down, (void)cells;
}
#endif
