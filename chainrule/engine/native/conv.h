/* Convolutions as register tiles over a padded image in channels-last order: pixels of a row times two vectors of output channels. */

typedef struct { long n, c, h, w, o, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w; } cr_conv;
typedef struct { long n, c, h, w; } cr_strides;

CR_INLINE long cr_out_h(cr_conv s) { return (s.h + 2 * s.pad_h - s.dil_h * (s.kh - 1) - 1) / s.stride_h + 1; }
CR_INLINE long cr_out_w(cr_conv s) { return (s.w + 2 * s.pad_w - s.dil_w * (s.kw - 1) - 1) / s.stride_w + 1; }
CR_INLINE long cr_floor_div(long a, long b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
CR_INLINE long cr_panels_size(long depth, long channels) { return cr_round(depth * cr_ceil(channels, CR_NR) * CR_NR); }

/* An image with a margin of zeros in front and behind (negative: cut off), rows x cols pixels of `pixel` >= channels reals. */
typedef struct { long channels, h, w, top, left, rows, cols, pixel; } cr_frame;
CR_INLINE cr_frame cr_framed(long channels, long h, long w, long top, long left, long rows, long cols) {
    return (cr_frame){channels, h, w, top, left, rows, cols, channels + (cr_collide(channels) ? 16 : 0)};
}
CR_INLINE long cr_frame_size(const cr_frame *f) { return cr_round(f->rows * f->cols * f->pixel); }

/* The image itself where it already lies so, or else a copy in `into`. */
CR_ONCE const real *cr_enframe(const cr_frame *f, const real *x, cr_strides xs, real *into) {
    const long c = f->channels, row = f->cols * f->pixel;
    const int dense = f->pixel == c && (c == 1 ? xs.w == 1 : xs.c == 1 && xs.w == c);
    if (dense && f->top == 0 && f->left == 0 && f->rows <= f->h && f->cols == f->w && xs.h == f->w * c) return x;
    const long from = cr_min(cr_max(f->left, 0), f->cols), until = cr_max(cr_min(f->left + f->w, f->cols), from);
    for (long i = 0; i < f->rows; i++) {
        real *q = into + i * row;
        const long line = i - f->top;
        if (line < 0 || line >= f->h || from == until) {
            memset(q, 0, (size_t)row * sizeof(real));
            continue;
        }
        const real *p = x + line * xs.h + (from - f->left) * xs.w;
        memset(q, 0, (size_t)(from * f->pixel) * sizeof(real));
        if (dense) memcpy(q + from * c, p, (size_t)((until - from) * c) * sizeof(real));
        else cr_copy2(until - from, c, p, xs.w, xs.c, q + from * f->pixel, f->pixel);
        memset(q + until * f->pixel, 0, (size_t)((f->cols - until) * f->pixel) * sizeof(real));
    }
    return into;
}

/* Weights by panels of output channels: (panel, tap row, tap column, input channel, CR_NR). `w` is the first tap, steps may be negative. */
typedef struct { long h, w, step_h, step_w, in, s_in, out, s_out; } cr_taps;
CR_ONCE void cr_pack_taps(const cr_taps *t, const real *w, real *into) {
    for (long j = 0; j < cr_ceil(t->out, CR_NR); j++) {
        const long at = cr_panel(t->out, j), width = cr_panel(t->out, j + 1) - at;
        for (long a = 0; a < t->h; a++)
            for (long b = 0; b < t->w; b++, into += t->in * CR_NR) {
                const real *p = w + a * t->step_h + b * t->step_w + at * t->s_out;
                if (width < CR_VL) memset(into, 0, (size_t)(t->in * CR_NR) * sizeof(real));
                cr_copy2(t->in, width, p, t->s_in, t->s_out, into, CR_NR);
            }
    }
}

/* rows x cols pixels of output from a framed image: `move` pixels apart in it, taps `gap` apart. */
typedef struct { long rows, cols, move_h, move_w, taps_h, taps_w, gap_h, gap_w; } cr_scan;
CR_ONCE void cr_correlate(const cr_scan *s, const cr_frame *f, const real *image, const real *packed, long channels, const real *bias,
                          real *y, long y_h, long y_w, long y_c) {
    const long row = f->cols * f->pixel, depth = s->taps_h * s->taps_w * f->channels;
    const int joined = s->taps_w == 1 || (s->gap_w == 1 && f->pixel == f->channels); /* a row of taps is one stretch of memory */
    const cr_walk w = {s->taps_h, s->gap_h * row, s->taps_w * f->channels * CR_NR, joined ? 1 : s->taps_w, s->gap_w * f->pixel,
                       f->channels * CR_NR, joined ? s->taps_w * f->channels : f->channels, s->move_w * f->pixel, 1, CR_NR};
    const cr_out o = {y_w, y_c, 1, 0, bias, 0, 1};
    if (s->cols <= 0) return;
    const cr_even tiles = cr_evenly(s->cols, CR_MR);
    for (long j = 0; j < cr_ceil(channels, CR_NR); j++) {
        const long at = cr_panel(channels, j), width = cr_panel(channels, j + 1) - at;
        for (long i = 0; i < s->rows; i++)
            for (long t = 0; t < tiles.parts; t++) {
                const long left = cr_begin(&tiles, t);
                cr_tile(cr_size(&tiles, t), width, &w, image + i * s->move_h * row + left * s->move_w * f->pixel,
                        packed + j * depth * CR_NR, y + i * y_h + left * y_w + at * y_c, &o, 0, at);
            }
    }
}

#include "winograd.h"

static inline long cr_conv_threads(cr_conv s) {
    return (double)s.n * cr_out_h(s) * cr_out_w(s) * s.o * s.c * s.kh * s.kw > CR_ALONE ? cr_max(cr_min(CR_THREADS, s.n), 1) : 1;
}

CR_INLINE cr_frame cr_frame_forward(cr_conv s) {
    return cr_framed(s.c, s.h, s.w, s.pad_h, s.pad_w, (cr_out_h(s) - 1) * s.stride_h + s.dil_h * (s.kh - 1) + 1, s.w + 2 * s.pad_w);
}
/* Whether the sums go by tiles of pixels (winograd.h). */
CR_INLINE int cr_apart_by_one(cr_conv s) { return s.stride_h == 1 && s.stride_w == 1 && s.dil_h == 1 && s.dil_w == 1; }
CR_INLINE int cr_win_forward(cr_conv s) {
    return cr_apart_by_one(s) && cr_win_fits(s.n, cr_out_h(s), cr_out_w(s), s.kh, s.kw, s.c, s.o);
}

/* Packed weights, then what each thread has to itself: an image and room for tiles. */
typedef struct { int win; cr_frame frame; long packed, each; } cr_room;
CR_INLINE cr_room cr_room_for(int win, cr_frame f, long rows, long cols, long taps, long depth, long in, long out) {
    if (win) f = cr_win_frame(f, rows, cols, taps);
    return (cr_room){win, f, win ? cr_win_panels_size(in, out) : cr_panels_size(depth, out),
                     cr_frame_size(&f) + (win ? cr_round(cr_win_size(&f)) : 0)};
}
CR_INLINE cr_room cr_room_forward(cr_conv s) {
    return cr_room_for(cr_win_forward(s), cr_frame_forward(s), cr_out_h(s), cr_out_w(s), s.kh, s.kh * s.kw * s.c, s.c, s.o);
}

static inline long cr_conv2d_scratch(cr_conv s) {
    const cr_room r = cr_room_forward(s);
    return r.packed + CR_THREADS * r.each;
}

CR_ONCE void cr_conv2d(cr_conv s, const real *x, cr_strides xs, const real *w, cr_strides ws, const real *bias, real *y, cr_strides ys,
                       real *scratch) {
    const cr_room r = cr_room_forward(s);
    const cr_taps taps = {s.kh, s.kw, ws.h, ws.w, s.c, ws.c, s.o, ws.n};
    const cr_scan scan = {cr_out_h(s), cr_out_w(s), s.stride_h, s.stride_w, s.kh, s.kw, s.dil_h, s.dil_w};
    const long threads = cr_conv_threads(s);
    if (r.win) cr_win_pack(&taps, w, scratch);
    else cr_pack_taps(&taps, w, scratch);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long t = 0; t < threads; t++)
        for (long n = t * s.n / threads; n < (t + 1) * s.n / threads; n++) {
            real *const own = scratch + r.packed + t * r.each;
            const real *image = cr_enframe(&r.frame, x + n * xs.n, xs, own);
            real *at = y + n * ys.n;
            if (r.win) cr_win_correlate(&scan, &r.frame, image, scratch, s.o, bias, at, ys.h, ys.w, ys.c, own + cr_frame_size(&r.frame));
            else cr_correlate(&scan, &r.frame, image, scratch, s.o, bias, at, ys.h, ys.w, ys.c);
        }
}

/* The taps that reach input line `line` + pad = phase (mod stride): every `every`-th, `count` of them, the last being `last`. */
typedef struct { long count, last, every, gap, lines, first; } cr_phase;
CR_INLINE cr_phase cr_phase_of(long phase, long size, long kernel, long stride, long pad, long dil) {
    long g = stride, r = dil;
    while (r) { const long next = g % r; g = r; r = next; }
    cr_phase p = {0, 0, stride / g, dil / g, 0, ((phase - pad) % stride + stride) % stride};
    for (long k = 0; k < kernel; k++)
        if ((k * dil - phase) % stride == 0) p.last = k, p.count++;
    p.lines = p.first < size ? (size - 1 - p.first) / stride + 1 : 0;
    return p;
}
/* Where in dy the last tap of the first line of a phase lies. */
CR_INLINE long cr_phase_begin(const cr_phase *p, long stride, long pad, long dil) {
    return p->count ? (p->first + pad - p->last * dil) / stride : 0;
}
CR_INLINE long cr_margin(long kernel, long stride, long pad, long dil) { return -cr_floor_div(pad - (kernel - 1) * dil, stride); }
CR_INLINE cr_frame cr_frame_backward(cr_conv s) {
    const long top = cr_margin(s.kh, s.stride_h, s.pad_h, s.dil_h), left = cr_margin(s.kw, s.stride_w, s.pad_w, s.dil_w);
    return cr_framed(s.o, cr_out_h(s), cr_out_w(s), top, left, (s.h - 1 + s.pad_h) / s.stride_h + 1 + top,
                     (s.w - 1 + s.pad_w) / s.stride_w + 1 + left);
}

CR_INLINE cr_room cr_room_backward(cr_conv s) {
    const int win = cr_apart_by_one(s) && cr_win_fits(s.n, s.h, s.w, s.kh, s.kw, s.o, s.c);
    return cr_room_for(win, cr_frame_backward(s), s.h, s.w, s.kh, s.kh * s.kw * s.o, s.o, s.c);
}

static inline long cr_conv2d_backward_input_scratch(cr_conv s) {
    const cr_room r = cr_room_backward(s);
    return r.packed + CR_THREADS * r.each;
}

/* A stride leaves dx in stride_h x stride_w interleaved images, each with taps of its own: pack these, or apply them to an `image`. */
CR_ONCE void cr_each_phase(cr_conv s, const cr_room *r, const real *w, cr_strides ws, real *packed, const real *image, real *dx,
                           cr_strides xs, real *work) {
    const cr_frame *const f = &r->frame;
    for (long a = 0; a < s.stride_h; a++)
        for (long b = 0; b < s.stride_w; b++) {
            const cr_phase v = cr_phase_of(a, s.h, s.kh, s.stride_h, s.pad_h, s.dil_h);
            const cr_phase u = cr_phase_of(b, s.w, s.kw, s.stride_w, s.pad_w, s.dil_w);
            if (image) {
                const cr_scan scan = {v.lines, u.lines, 1, 1, u.count ? v.count : 0, u.count, v.gap, u.gap};
                const long row = cr_phase_begin(&v, s.stride_h, s.pad_h, s.dil_h) + f->top;
                const long col = cr_phase_begin(&u, s.stride_w, s.pad_w, s.dil_w) + f->left;
                const real *from = image + (row * f->cols + col) * f->pixel;
                real *into = dx + v.first * xs.h + u.first * xs.w;
                if (r->win) cr_win_correlate(&scan, f, from, packed, s.c, NULL, into, xs.h, xs.w, xs.c, work);
                else cr_correlate(&scan, f, from, packed, s.c, NULL, into, s.stride_h * xs.h, s.stride_w * xs.w, xs.c);
            } else {
                const cr_taps taps = {v.count, u.count, -v.every * ws.h, -u.every * ws.w, s.o, ws.n, s.c, ws.c};
                const real *last = w + v.last * ws.h + u.last * ws.w;
                if (r->win) cr_win_pack(&taps, last, packed);
                else cr_pack_taps(&taps, last, packed);
            }
            packed += v.count * u.count * s.o * cr_ceil(s.c, CR_NR) * CR_NR;
        }
}

/* dx: dy against the turned weights. */
CR_ONCE void cr_conv2d_backward_input(cr_conv s, const real *dy, cr_strides ys, const real *w, cr_strides ws, real *dx, cr_strides xs,
                                      real *scratch) {
    const cr_room r = cr_room_backward(s);
    const long threads = cr_conv_threads(s);
    cr_each_phase(s, &r, w, ws, scratch, NULL, NULL, xs, NULL);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long t = 0; t < threads; t++)
        for (long n = t * s.n / threads; n < (t + 1) * s.n / threads; n++) {
            real *const own = scratch + r.packed + t * r.each;
            const real *image = cr_enframe(&r.frame, dy + n * ys.n, ys, own);
            cr_each_phase(s, &r, NULL, ws, scratch, image, dx + n * xs.n, xs, own + cr_frame_size(&r.frame));
        }
}

/* Images summed at once: enough pixels that fetching and storing the sums is little beside summing them. */
CR_INLINE long cr_group(cr_conv s) { return cr_max(cr_min(256 / cr_max(cr_out_h(s) * cr_out_w(s), 1), cr_ceil(s.n, CR_THREADS)), 1); }
CR_INLINE long cr_dy_size(cr_conv s) { return cr_panels_size(cr_out_h(s) * cr_out_w(s), s.o); }
CR_INLINE long cr_sums_size(cr_conv s) { return cr_round((s.kh * s.kw * s.c + 1) * cr_max(s.o, CR_VL)); }

CR_INLINE long cr_sums_each(cr_conv s) {
    const cr_frame f = cr_frame_forward(s);
    return cr_group(s) * (cr_frame_size(&f) + cr_dy_size(s)) + cr_sums_size(s);
}

/* The share of images `from` to `until`: sums (tap row, tap column, input channel, output channel), then the bias's. */
CR_ONCE void cr_weight_sums(cr_conv s, long from, long until, const real *x, cr_strides xs, const real *dy, cr_strides ys, int biased,
                            real *sums, real *scratch) {
    const cr_frame f = cr_frame_forward(s);
    const long oh = cr_out_h(s), ow = cr_out_w(s), panels = cr_ceil(s.o, CR_NR), wide = cr_max(s.o, CR_VL), group = cr_group(s);
    const long line = f.cols * f.pixel, each = cr_frame_size(&f), each_dy = cr_dy_size(s);
    real *const images = scratch, *const packed = scratch + group * each, *const bias = sums + s.kh * s.kw * s.c * wide;
    const int joined = s.kw == 1 || (s.dil_w == 1 && f.pixel == s.c); /* all columns of taps at once, or one after the other */
    const long stretch = joined ? s.kw * s.c : s.c;
    const cr_even tiles = cr_evenly(stretch, CR_MR);
    memset(sums, 0, (size_t)cr_sums_size(s) * sizeof(real));
    const cr_out o = {wide, 1, 1, 1, NULL, 0, 0};
    for (long n = from; n < until; n += group) {
        const long many = cr_min(group, until - n);
        const real *image = images;
        for (long g = 0; g < many; g++) {
            const real *at = cr_enframe(&f, x + (n + g) * xs.n, xs, images + g * each);
            if (many == 1) image = at;
            else if (at != images + g * each) memcpy(images + g * each, at, (size_t)(f.rows * line) * sizeof(real));
            for (long j = 0; j < panels; j++) {
                const long left = cr_panel(s.o, j), width = cr_panel(s.o, j + 1) - left;
                real *q = packed + g * each_dy + j * oh * ow * CR_NR;
                if (width < CR_VL) memset(q, 0, (size_t)(oh * ow * CR_NR) * sizeof(real));
                for (long i = 0; i < oh; i++)
                    cr_copy2(ow, width, dy + (n + g) * ys.n + i * ys.h + left * ys.c, ys.w, ys.c, q + i * ow * CR_NR, CR_NR);
                if (!biased) continue;
                for (long i = 0; i < oh * ow; i++)
                    for (long v = 0; v < width; v++) bias[left + v] += q[i * CR_NR + v];
            }
        }
        const cr_walk w = {many, each, each_dy, oh, s.stride_h * line, ow * CR_NR, ow, 1, s.stride_w * f.pixel, CR_NR};
        for (long a = 0; a < s.kh; a++)
            for (long b = 0; b < (joined ? 1 : s.kw); b++)
                for (long j = 0; j < panels; j++) {
                    const long left = cr_panel(s.o, j), width = cr_max(cr_panel(s.o, j + 1) - left, CR_VL);
                    for (long t = 0; t < tiles.parts; t++) {
                        const long r = cr_begin(&tiles, t);
                        cr_tile(cr_size(&tiles, t), width, &w, image + a * s.dil_h * line + b * s.dil_w * f.pixel + r,
                                packed + j * oh * ow * CR_NR, sums + ((a * s.kw + b) * s.c + r) * wide + left, &o, 0, 0);
                    }
                }
    }
}

/* The same by tiles: sums at the six by six points, (spot, input channel, output channel), then the bias's. */
typedef struct { cr_frame x, dy; long sums, each; } cr_tap_room;
CR_INLINE cr_tap_room cr_tap_room_for(cr_conv s) {
    const long oh = cr_out_h(s), ow = cr_out_w(s), m = CR_WIN + 1 - s.kh;
    cr_tap_room r = {cr_win_frame(cr_frame_forward(s), oh, ow, s.kh), cr_framed(s.o, oh, ow, 0, 0, cr_ceil(oh, m) * m, cr_ceil(ow, m) * m),
                     cr_round(CR_WIN_SPOTS * s.c * s.o + s.o), 0};
    r.each = r.sums + cr_frame_size(&r.x) + cr_frame_size(&r.dy) + cr_round(cr_win_gathered_size(s.c, s.o));
    return r;
}
CR_INLINE int cr_win_backward_weight(cr_conv s) { return cr_win_forward(s) && s.c * s.o <= 16384; }

static inline long cr_conv2d_backward_weight_scratch(cr_conv s) {
    return CR_THREADS * (cr_win_backward_weight(s) ? cr_tap_room_for(s).each : cr_sums_each(s));
}

CR_ONCE void cr_tap_sums(cr_conv s, const cr_tap_room *r, long from, long until, const real *x, cr_strides xs, const real *dy,
                         cr_strides ys, int biased, real *own) {
    real *const bias = own + CR_WIN_SPOTS * s.c * s.o, *const image = own + r->sums, *const turned = image + cr_frame_size(&r->x);
    cr_gathered g = {s.c, s.o, 0, own, turned + cr_frame_size(&r->dy)};
    memset(own, 0, (size_t)r->sums * sizeof(real));
    for (long n = from; n < until; n++) {
        const real *p = cr_enframe(&r->x, x + n * xs.n, xs, image), *q = cr_enframe(&r->dy, dy + n * ys.n, ys, turned);
        for (long i = 0; biased && i < r->dy.rows * r->dy.cols; i++)
            for (long v = 0; v < s.o; v += CR_VL) cr_store(bias + v, cr_load(bias + v) + cr_load(q + i * r->dy.pixel + v));
        cr_win_gather(s.kh, &r->x, p, &r->dy, q, &g);
    }
    cr_win_add(&g);
}

CR_ONCE void cr_conv2d_backward_weight(cr_conv s, const real *x, cr_strides xs, const real *dy, cr_strides ys, real *dw, cr_strides ws,
                                       real *db, real *scratch) {
    const long threads = cr_conv_threads(s);
    if (cr_win_backward_weight(s)) {
        const cr_tap_room r = cr_tap_room_for(s);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
        for (long t = 0; t < threads; t++)
            cr_tap_sums(s, &r, t * s.n / threads, (t + 1) * s.n / threads, x, xs, dy, ys, db != NULL, scratch + t * r.each);
        for (long t = 1; t < threads; t++)
            for (long i = 0; i < r.sums; i++) scratch[i] += scratch[t * r.each + i];
        cr_win_unpack(s.kh, s.c, s.o, scratch, dw, ws.n, ws.c, ws.h, ws.w);
        for (long o = 0; db && o < s.o; o++) db[o] = scratch[CR_WIN_SPOTS * s.c * s.o + o];
        return;
    }
    const long size = cr_sums_size(s), wide = cr_max(s.o, CR_VL), each = cr_sums_each(s);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (long t = 0; t < threads; t++)
        cr_weight_sums(s, t * s.n / threads, (t + 1) * s.n / threads, x, xs, dy, ys, db != NULL, scratch + t * size,
                       scratch + CR_THREADS * size + t * (each - size));
    for (long t = 1; t < threads; t++)
        for (long i = 0; i < size; i++) scratch[i] += scratch[t * size + i];
    for (long o = 0; o < s.o; o++)
        for (long a = 0; a < s.kh; a++)
            for (long b = 0; b < s.kw; b++)
                for (long c = 0; c < s.c; c++)
                    dw[o * ws.n + c * ws.c + a * ws.h + b * ws.w] = scratch[((a * s.kw + b) * s.c + c) * wide + o];
    for (long o = 0; db && o < s.o; o++) db[o] = scratch[s.kh * s.kw * s.c * wide + o];
}
