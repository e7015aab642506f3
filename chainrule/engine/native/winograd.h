/* Convolutions with kernels of 3 x 3 and 5 x 5 taps, one apart, by Winograd's (1980) minimal filtering as Lavin & Gray (2016) apply it,
 * https://doi.org/10.1109/CVPR.2016.435: tiles of 6 x 6 pixels, which give 4 x 4 or 2 x 2 outputs for 36 multiplications a channel where
 * the taps themselves would take 144 or 100. The polynomials are evaluated at 0, 1, -1, 2, -2 and infinity whatever the taps, so that the
 * transform of the image is always the same. Roundings are about five times those of the direct sum. Only a sum over nothing but zeros
 * is exactly what the direct sum is, zero: a rounding there would open rectifiers that are shut.
 */

enum { CR_WIN = 6, CR_WIN_SPOTS = CR_WIN * CR_WIN, CR_WIN_TILES = 2 * CR_MR };

/* Values of a polynomial's tile at the six points; `s` reals from one pixel to the next. */
CR_INLINE void cr_win_image1(const cr_vec d[CR_WIN], cr_vec v[CR_WIN]) {
    const cr_vec a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    v[0] = 4 * d[0] - 5 * d[2] + d[4];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = 4 * d[1] - 5 * d[3] + d[5];
}
CR_INLINE void cr_win_image(const real *p, long row, long pixel, real *v, long spot) {
    cr_vec half[CR_WIN][CR_WIN];
    for (int j = 0; j < CR_WIN; j++) {
        cr_vec d[CR_WIN], t[CR_WIN];
#pragma GCC unroll 6
        for (int i = 0; i < CR_WIN; i++) d[i] = cr_load(p + i * row + j * pixel);
        cr_win_image1(d, t);
#pragma GCC unroll 6
        for (int i = 0; i < CR_WIN; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < CR_WIN; i++, v += CR_WIN * spot) {
        cr_vec t[CR_WIN];
        cr_win_image1(half[i], t);
#pragma GCC unroll 6
        for (int j = 0; j < CR_WIN; j++) cr_store(v + j * spot, t[j]);
    }
}

/* Taps at the six points: r of them, divided by what interpolation through the points would divide by. */
CR_INLINE void cr_win_taps1(int r, const cr_vec *w, cr_vec u[CR_WIN]) {
    cr_vec even = w[0], odd = w[1], even2 = w[0], odd2 = 2 * w[1];
#pragma GCC unroll 8
    for (int k = 2; k < r; k++) {
        if (k % 2) odd += w[k], odd2 += (real)(1 << k) * w[k];
        else even += w[k], even2 += (real)(1 << k) * w[k];
    }
    u[0] = w[0] * (real)(1.0 / 4);
    u[1] = (even + odd) * (real)(-1.0 / 6);
    u[2] = (even - odd) * (real)(-1.0 / 6);
    u[3] = (even2 + odd2) * (real)(1.0 / 24);
    u[4] = (even2 - odd2) * (real)(1.0 / 24);
    u[5] = w[r - 1];
}
/* r x r vectors of taps, one row after the other. */
CR_INLINE void cr_win_taps(int r, const cr_vec *w, real *u, long spot) {
    cr_vec half[CR_WIN][CR_WIN];
    for (int j = 0; j < r; j++) {
        cr_vec column[CR_WIN], t[CR_WIN];
        for (int i = 0; i < r; i++) column[i] = w[i * r + j];
        cr_win_taps1(r, column, t);
        for (int i = 0; i < CR_WIN; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < CR_WIN; i++, u += CR_WIN * spot) {
        cr_vec t[CR_WIN];
        cr_win_taps1(r, half[i], t);
        for (int j = 0; j < CR_WIN; j++) cr_store(u + j * spot, t[j]);
    }
}

/* From the products at the six points to m sums. */
CR_INLINE void cr_win_sums1(int m, const cr_vec z[CR_WIN], cr_vec y[CR_WIN]) {
    const cr_vec even = z[1] + z[2], odd = z[1] - z[2], even2 = z[3] + z[4], odd2 = z[3] - z[4];
#pragma GCC unroll 8
    for (int k = 0; k < m; k++) y[k] = k % 2 ? odd + (real)(1 << k) * odd2 : even + (real)(1 << k) * even2;
    y[0] += z[0];
    y[m - 1] += z[5];
}
CR_INLINE void cr_win_sums(int m, const real *z, long spot, cr_vec y[CR_WIN][CR_WIN]) {
    cr_vec half[CR_WIN][CR_WIN];
    for (int j = 0; j < CR_WIN; j++) {
        cr_vec column[CR_WIN], t[CR_WIN];
#pragma GCC unroll 6
        for (int i = 0; i < CR_WIN; i++) column[i] = cr_load(z + (i * CR_WIN + j) * spot);
        cr_win_sums1(m, column, t);
#pragma GCC unroll 6
        for (int i = 0; i < m; i++) half[i][j] = t[i];
    }
    for (int i = 0; i < m; i++) cr_win_sums1(m, half[i], y[i]);
}

/* Channels in whole vectors, and enough tiles that the transform of the taps is little beside using them. */
CR_INLINE int cr_win_fits(long images, long rows, long cols, long taps_h, long taps_w, long in, long out) {
    if (taps_h != taps_w || (taps_h != 3 && taps_h != 5) || in % CR_VL || out % CR_VL || in < 16 || out < 16) return 0;
    const long m = CR_WIN + 1 - taps_h, tiles = cr_ceil(rows, m) * cr_ceil(cols, m);
    /* at least half of what is computed is wanted, and the transformed taps stay in the third cache */
    return images * tiles >= 64 && 2 * rows * cols >= m * m * tiles && in * out <= 65536;
}
/* A frame from which tiles cover so many outputs. */
CR_INLINE cr_frame cr_win_frame(cr_frame f, long rows, long cols, long taps) {
    const long m = CR_WIN + 1 - taps;
    f.rows = cr_ceil(rows, m) * m + taps - 1;
    f.cols = cr_ceil(cols, m) * m + taps - 1;
    return f;
}
CR_INLINE long cr_win_spot(long channels) { return CR_WIN_TILES * channels + 16; } /* 16: spots would fall on few sets of the cache */
CR_INLINE long cr_win_marks_size(const cr_frame *f) { return cr_round(cr_ceil(f->rows * f->cols + 8, sizeof(real))); }
CR_INLINE long cr_win_size(const cr_frame *f) {
    return cr_win_marks_size(f) + CR_WIN_SPOTS * (cr_win_spot(f->channels) + cr_win_spot(CR_NR));
}
CR_INLINE long cr_win_panels_size(long in, long out) { return cr_panels_size(CR_WIN_SPOTS * in, out); }

/* By panels of output channels: (panel, spot, input channel, CR_NR). */
CR_INLINE void cr_win_pack_of(int r, const cr_taps *t, const real *w, real *into) {
    for (long j = 0; j < cr_ceil(t->out, CR_NR); j++, into += CR_WIN_SPOTS * t->in * CR_NR) {
        const long at = cr_panel(t->out, j), width = cr_panel(t->out, j + 1) - at;
        for (long c = 0; c < t->in; c++)
            for (long v = 0; v < width; v += CR_VL) {
                real taps[25 * CR_VL] __attribute__((aligned(CR_ALIGN)));
                cr_vec vecs[25];
                for (long a = 0; a < r; a++)
                    for (long b = 0; b < r; b++)
                        for (long q = 0; q < CR_VL; q++)
                            taps[(a * r + b) * CR_VL + q] = w[a * t->step_h + b * t->step_w + c * t->s_in + (at + v + q) * t->s_out];
                for (long k = 0; k < r * r; k++) vecs[k] = cr_load(taps + k * CR_VL);
                cr_win_taps(r, vecs, into + c * CR_NR + v, t->in * CR_NR);
            }
    }
}
CR_ONCE void cr_win_pack(const cr_taps *t, const real *w, real *into) {
    if (t->h == 3) cr_win_pack_of(3, t, w, into);
    else cr_win_pack_of(5, t, w, into);
}

/* Which pixels of a framed image are not zero in all channels, a byte each. */
CR_ONCE void cr_win_mark(const cr_frame *f, const real *image, unsigned char *marks) {
    for (long i = 0; i < f->rows * f->cols; i++, image += f->pixel) {
        cr_ivec any = {0};
        for (long v = 0; v < f->channels; v += CR_VL) any |= cr_load(image + v) != 0;
        cr_int all = 0;
        for (long q = 0; q < CR_VL; q++) all |= any[q];
        marks[i] = all != 0;
    }
    memset(marks + f->rows * f->cols, 1, 8);
}
/* Bit i * m + j of a tile: the r x r pixels that its output (i, j) sums over are all zero. */
CR_INLINE long cr_win_nothing(int r, const unsigned char *marks, long cols) {
    const int m = CR_WIN + 1 - r;
    long bits = 0;
    uint64_t lines[CR_WIN], every = ~(uint64_t)0;
    for (int i = 0; i < CR_WIN; i++) {
        memcpy(&lines[i], marks + i * cols, 8);
        every &= lines[i];
    }
    if ((every & 0x010101010101) == 0x010101010101) return 0;
    for (int i = 0; i < m; i++) {
        uint64_t any = 0;
        for (int k = 0; k < r; k++) any |= lines[i + k];
        for (int j = 0; j < m; j++) bits |= (long)!(any >> 8 * j & (((uint64_t)1 << 8 * r) - 1)) << (i * m + j);
    }
    return bits;
}

/* The m x m outputs of a tile that lie inside, for a panel of channels; those with a bit in `nothing` are sums of zeros. */
CR_INLINE void cr_win_put(int m, const real *z, long spot, long nothing, long width, const real *bias, long rows, long cols, real *y,
                          long y_h, long y_w, long y_c) {
    for (long v = 0; v < width; v += CR_VL) {
        cr_vec out[CR_WIN][CR_WIN];
        cr_win_sums(m, z + v, spot, out);
        const cr_vec added = bias ? cr_load(bias + v) : (cr_vec){0};
        for (long i = 0; i < cr_min(rows, m); i++)
            for (long j = 0; j < cr_min(cols, m); j++) {
                real *at = y + i * y_h + j * y_w + v * y_c;
                cr_vec sum = added;
                if (!(nothing >> (i * m + j) & 1)) sum += out[i][j];
                if (y_c == 1) cr_store(at, sum);
                else
                    for (long q = 0; q < CR_VL; q++) at[q * y_c] = sum[q];
            }
    }
}

/* As cr_correlate, for outputs one pixel apart: `packed` by cr_win_pack, `work` of cr_win_size, the frame of cr_win_frame. */
CR_INLINE void cr_win_correlate_of(int r, const cr_scan *s, const cr_frame *f, const real *image, const real *packed, long channels,
                                   const real *bias, real *y, long y_h, long y_w, long y_c, real *work) {
    const int m = CR_WIN + 1 - r;
    const long c = f->channels, row = f->cols * f->pixel, spot = cr_win_spot(c), out_spot = cr_win_spot(CR_NR);
    const long across = cr_ceil(s->cols, m), all = cr_ceil(s->rows, m) * across;
    unsigned char *const marks = (unsigned char *)work;
    real *const values = work + cr_win_marks_size(f), *const products = values + CR_WIN_SPOTS * spot;
    const cr_walk w = {1, 0, 0, 1, 0, 0, c, c, 1, CR_NR};
    const cr_out o = {CR_NR, 1, 1, 0, NULL, 0, 0};
    long nothing[CR_WIN_TILES];
    cr_win_mark(f, image, marks);
    for (long t = 0; t < all; t += CR_WIN_TILES) {
        const long some = cr_min(CR_WIN_TILES, all - t);
        const cr_even parts = cr_evenly(some, CR_MR);
        for (long k = 0; k < some; k++) {
            const long i = (t + k) / across * m, l = (t + k) % across * m;
            const real *p = image + i * row + l * f->pixel;
            for (long v = 0; v < c; v += CR_VL) cr_win_image(p + v, row, f->pixel, values + k * c + v, spot);
            nothing[k] = cr_win_nothing(r, marks + i * f->cols + l, f->cols);
        }
        for (long j = 0; j < cr_ceil(channels, CR_NR); j++) {
            const long at = cr_panel(channels, j), width = cr_panel(channels, j + 1) - at;
            const real *taps = packed + j * CR_WIN_SPOTS * c * CR_NR;
            for (long q = 0; q < CR_WIN_SPOTS; q++)
                for (long i = 0; i < parts.parts; i++) {
                    const long k = cr_begin(&parts, i);
                    cr_tile(cr_size(&parts, i), width, &w, values + q * spot + k * c, taps + q * c * CR_NR,
                            products + q * out_spot + k * CR_NR, &o, 0, 0);
                }
            for (long k = 0; k < some; k++) {
                const long i = (t + k) / across * m, l = (t + k) % across * m;
                cr_win_put(m, products + k * CR_NR, out_spot, nothing[k], width, bias ? bias + at : NULL, s->rows - i, s->cols - l,
                           y + i * y_h + l * y_w + at * y_c, y_h, y_w, y_c);
            }
        }
    }
}
CR_ONCE void cr_win_correlate(const cr_scan *s, const cr_frame *f, const real *image, const real *packed, long channels, const real *bias,
                              real *y, long y_h, long y_w, long y_c, real *work) {
    if (s->taps_h == 3) cr_win_correlate_of(3, s, f, image, packed, channels, bias, y, y_h, y_w, y_c, work);
    else cr_win_correlate_of(5, s, f, image, packed, channels, bias, y, y_h, y_w, y_c, work);
}

/* Gradients of taps: the outputs' gradients are the taps of a correlation with the image whose few sums are wanted, over all tiles of all
 * images. Tiles are gathered, then added to the sums at the points; `cr_win_most` at once, whose values stay in the second cache. */
typedef struct { long in, out, tiles; real *sums, *room; } cr_gathered;
CR_INLINE long cr_win_most(long in, long out) { return cr_max(cr_min(2800 / (in + out), 96), 24); }
CR_INLINE long cr_win_in_spot(long in, long out) { return cr_win_most(in, out) * in + 16; }
CR_INLINE long cr_win_out_spot(long in, long out) { return cr_win_most(in, out) * cr_ceil(out, CR_NR) * CR_NR + 16; }
CR_INLINE long cr_win_gathered_size(long in, long out) {
    return CR_WIN_SPOTS * (cr_win_in_spot(in, out) + cr_win_out_spot(in, out));
}

CR_ONCE void cr_win_add(cr_gathered *g) {
    const long most = cr_win_most(g->in, g->out), spot = cr_win_in_spot(g->in, g->out), out_spot = cr_win_out_spot(g->in, g->out);
    const real *const image = g->room, *const taps = g->room + CR_WIN_SPOTS * spot;
    const cr_even rows = cr_evenly(g->in, CR_MR);
    const cr_walk w = {1, 0, 0, 1, 0, 0, g->tiles, 1, g->in, CR_NR};
    const cr_out o = {g->out, 1, 1, 1, NULL, 0, 0};
    for (long q = 0; g->tiles && q < CR_WIN_SPOTS; q++)
        for (long j = 0; j < cr_ceil(g->out, CR_NR); j++) {
            const long at = cr_panel(g->out, j), width = cr_panel(g->out, j + 1) - at;
            for (long i = 0; i < rows.parts; i++) {
                const long c = cr_begin(&rows, i);
                cr_tile(cr_size(&rows, i), width, &w, image + q * spot + c, taps + q * out_spot + j * most * CR_NR,
                        g->sums + (q * g->in + c) * g->out + at, &o, 0, 0);
            }
        }
    g->tiles = 0;
}

CR_INLINE void cr_win_gather_of(int r, const cr_frame *f, const real *x, const cr_frame *h, const real *dy, cr_gathered *g) {
    const int m = CR_WIN + 1 - r;
    const long most = cr_win_most(g->in, g->out), spot = cr_win_in_spot(g->in, g->out), out_spot = cr_win_out_spot(g->in, g->out);
    const long row = f->cols * f->pixel, dy_row = h->cols * h->pixel;
    for (long i = 0; i < h->rows; i += m)
        for (long j = 0; j < h->cols; j += m) {
            const real *p = x + i * row + j * f->pixel, *q = dy + i * dy_row + j * h->pixel;
            real *const image = g->room + g->tiles * g->in, *const taps = g->room + CR_WIN_SPOTS * spot + g->tiles * CR_NR;
            for (long v = 0; v < g->in; v += CR_VL) cr_win_image(p + v, row, f->pixel, image + v, spot);
            for (long v = 0; v < g->out; v += CR_VL) {
                cr_vec few[16];
                for (int a = 0; a < m; a++)
                    for (int b = 0; b < m; b++) few[a * m + b] = cr_load(q + a * dy_row + b * h->pixel + v);
                cr_win_taps(m, few, taps + v / CR_NR * most * CR_NR + v % CR_NR, out_spot);
            }
            if (++g->tiles == most) cr_win_add(g);
        }
}
CR_ONCE void cr_win_gather(long r, const cr_frame *f, const real *x, const cr_frame *h, const real *dy, cr_gathered *g) {
    if (r == 3) cr_win_gather_of(3, f, x, h, dy, g);
    else cr_win_gather_of(5, f, x, h, dy, g);
}

CR_INLINE void cr_win_unpack_of(int r, long in, long out, const real *sums, real *dw, long s_out, long s_in, long step_h, long step_w) {
    for (long c = 0; c < in; c++)
        for (long v = 0; v < out; v += CR_VL) {
            cr_vec taps[CR_WIN][CR_WIN];
            cr_win_sums(r, sums + c * out + v, in * out, taps);
            for (int a = 0; a < r; a++)
                for (int b = 0; b < r; b++)
                    for (int q = 0; q < CR_VL; q++) dw[(v + q) * s_out + c * s_in + a * step_h + b * step_w] = taps[a][b][q];
        }
}
CR_ONCE void cr_win_unpack(long r, long in, long out, const real *sums, real *dw, long s_out, long s_in, long step_h, long step_w) {
    if (r == 3) cr_win_unpack_of(3, in, out, sums, dw, s_out, s_in, step_h, step_w);
    else cr_win_unpack_of(5, in, out, sums, dw, s_out, s_in, step_h, step_w);
}
