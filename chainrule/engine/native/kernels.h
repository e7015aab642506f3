/* Kernels that a native step is written out against: matrix products, convolutions, pooling and elementary functions.
 *
 * Register tiles in the manner of Goto & van de Geijn (2008), https://doi.org/10.1145/1356052.1356053, and of BLIS: Van Zee & van de Geijn
 * (2015), https://doi.org/10.1145/2764454. A convolution is the same tile over a padded image, so nothing is unrolled in memory.
 *
 * What whoever includes this file owes
 *   #define CR_DOUBLE        for real = double, before the inclusion; real is float otherwise.
 *   #define CR_THREADS n     threads, an expression; 1 where it is not defined or where -fopenmp is not given. Kernels share their work out
 *                            above CR_ALONE multiply-adds and are called from outside parallel regions. The same number of threads
 *                            gives the same bits.
 *   flags                    -O3 -march=native -fno-math-errno -fno-trapping-math [-fopenmp], never -ffast-math: NaN and infinity pass.
 *   scratch                  CR_ALIGN-byte aligned, at least as many reals as the kernel's _scratch function says for the same sizes. It
 *                            may be shared by all calls and holds nothing between them. Everything else may be unaligned, and outputs
 *                            must not overlap inputs.
 * All strides are in elements and may be any, zero for inputs that are spread out; sizes may be zero.
 *
 * Matrix product: C = alpha A B + beta C + bias, A (M, K), B (K, N), C and bias (M, N). beta 0 does not read C. bias may be NULL.
 *   void cr_matmul(long M, long N, long K, const real *A, long a_r, long a_c, const real *B, long b_r, long b_c, real *C, long c_r,
 *                  long c_c, real alpha, real beta, const real *bias, long bias_r, long bias_c, real *scratch);
 *   long cr_matmul_scratch(long M, long N, long K);
 *
 * Convolution (groups 1): sizes in a cr_conv, strides of a 4-D tensor in a cr_strides, each written in the order of its comment.
 *   typedef struct { long n, c, h, w, o, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w; } cr_conv;
 *   typedef struct { long n, c, h, w; } cr_strides;      for weights n is the stride of the output channel
 *   void cr_conv2d(cr_conv s, const real *x, cr_strides xs, const real *w, cr_strides ws, const real *bias, real *y, cr_strides ys,
 *                  real *scratch);
 *   void cr_conv2d_backward_input(cr_conv s, const real *dy, cr_strides ys, const real *w, cr_strides ws, real *dx, cr_strides xs,
 *                                 real *scratch);
 *   void cr_conv2d_backward_weight(cr_conv s, const real *x, cr_strides xs, const real *dy, cr_strides ys, real *dw, cr_strides ws,
 *                                  real *db, real *scratch);
 *   long cr_conv2d_scratch(cr_conv s), cr_conv2d_backward_input_scratch(cr_conv s), cr_conv2d_backward_weight_scratch(cr_conv s);
 *   bias and db are (o,) with stride 1, or NULL. Outputs are overwritten. Any strides are right; channels-last (c stride 1) is fast, other
 *   layouts cost one more copy of an image in cache. Weights may lie as they like: they are packed once a call.
 *
 * Pooling: sizes of the output are given, so that either rounding of torch's (ceil_mode) fits.
 *   typedef struct { long n, c, h, w, oh, ow, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w; } cr_pool;
 *   void cr_maxpool2d(cr_pool s, const real *x, cr_strides xs, real *y, cr_strides ys, unsigned char *arg);
 *   void cr_maxpool2d_backward(cr_pool s, const real *dy, cr_strides ys, const unsigned char *arg, real *dx, cr_strides xs);
 *   arg is dense (n, oh, ow, c): the winning tap i * kw + j of each window, the first of equal ones, NaN above all; kh * kw <= 256. NULL
 *   where nobody asks.
 *   void cr_avgpool2d(cr_pool s, long include_pad, real divisor, const real *x, cr_strides xs, real *y, cr_strides ys);
 *   void cr_avgpool2d_backward(cr_pool s, long include_pad, real divisor, const real *dy, cr_strides ys, real *dx, cr_strides xs);
 *   include_pad as torch's count_include_pad; divisor 0 counts, any other replaces the count. dil_h and dil_w are 1.
 *
 * Elementary functions, without branches so that the compiler turns plain loops over them into vectors; at most 2.5 units in the last
 * place off, exp and log 1:
 *   real cr_exp(real), cr_expm1(real), cr_log(real), cr_log1p(real), cr_tanh(real), cr_sigmoid(real);
 *
 * Include only this file; it includes tile.h, matmul.h, conv.h, winograd.h, pool.h and maths.h, which lie beside it (-I this folder; a
 * cache of programs hashes all of them).
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef CR_DOUBLE
typedef double real;
typedef int64_t cr_int;
#else
typedef float real;
typedef int32_t cr_int;
#endif

#if defined(__AVX512F__) /* CR_BYTES of a vector register, CR_ROWS of a tile whose sums fill the registers two vectors wide */
#define CR_BYTES 64
#define CR_ROWS 12
#elif defined(__AVX__)
#define CR_BYTES 32
#define CR_ROWS 6
#elif defined(__aarch64__)
#define CR_BYTES 16
#define CR_ROWS 12
#else
#define CR_BYTES 16
#define CR_ROWS 6
#endif

#ifndef _OPENMP
#undef CR_THREADS
#endif
#ifndef CR_THREADS
#define CR_THREADS 1
#endif
#define CR_ALIGN 64
#define CR_ALONE 4e5

#include "tile.h"
#include "matmul.h"
#include "conv.h"
#include "pool.h"
#include "maths.h"
