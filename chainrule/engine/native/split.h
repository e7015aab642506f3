/* Products of single precision as three of bfloat16: a = hi + lo and b = hi + lo give hi hi + hi lo + lo hi, summed in single precision, off
 * by about 1e-5 of the product of norms. Henry, Tang & Heinecke (2019), https://arxiv.org/abs/1904.06376
 *
 * For processors with tiles of matrices (AMX); elsewhere nothing here is compiled, and CR_SPLIT is not defined. Both sides are packed into
 * groups of 4 KB: what 32 rows of A, or 32 columns of B, have of 32 terms of the sum, as two tiles of 16, each its hi before its lo. A tile
 * of A is 16 rows of 32 halves, one of B is 16 rows of pairs: of 16 columns, two terms each. Numbers beyond what bfloat16 holds, and
 * infinity, become NaN; numbers below the normal ones count as zero.
 */

#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__linux__) \
    && !defined(CR_DOUBLE)
#define CR_SPLIT
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t split_half;
enum { SPLIT_K = 32, SPLIT_LINE = 32, SPLIT_TILE = 512, SPLIT_GROUP = 2048 }; /* in halves */
enum { SPLIT_CHUNK = 8 };                                                     /* groups of each side that the first caches hold */

CR_INLINE long split_blocks(long length) { return cr_ceil(length, SPLIT_K); }
/* Reals that a packed matrix takes. */
static inline long split_packed(long across, long depth) { return split_blocks(across) * split_blocks(depth) * SPLIT_GROUP / 2; }
/* Halves from the beginning of a group to the line of a row of A, or of a pair of terms of B counted from the group's columns. */
CR_INLINE long split_row_at(long row) { return row / 16 * 2 * SPLIT_TILE + row % 16 * SPLIT_LINE; }

/* Ask the system for the use of tiles, once a process: 0 where it agrees. */
long split_ask(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */); }

typedef struct { uint8_t palette, start, none[14]; uint16_t bytes[16]; uint8_t rows[16]; } split_shape;

/* Before and after products, by each thread that does them. */
static void split_begin(void) {
    split_shape shape __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
    _tile_loadconfig(&shape);
}
static void split_end(void) { _tile_release(); }

/* Sixteen numbers as hi, in words of 32 bits whose upper halves are zero, and lo likewise. */
CR_INLINE void split_words(__m512 x, __m512i *hi, __m512i *lo) {
    *hi = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
    *lo = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(*hi, 16)))));
}
CR_INLINE __m512 split_load(const real *x, long n) { /* as many as there are, zeros after them */
    return n >= 16 ? _mm512_loadu_ps(x) : n <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}
CR_INLINE __m512i split_joined(__m512i first, __m512i second) { return _mm512_or_si512(first, _mm512_slli_epi32(second, 16)); }
CR_INLINE __m512i split_beside(__m512i first, __m512i second) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(first)), _mm512_cvtepi32_epi16(second), 1);
}

/* n numbers of a row of A, a group apart from 32 to 32, `to` being its line in the first group. */
static void split_row(const real *x, long n, split_half *to) {
    for (; n > 0; n -= SPLIT_K, x += SPLIT_K, to += SPLIT_GROUP) {
        __m512i hi[2], lo[2];
        split_words(split_load(x, n), &hi[0], &lo[0]);
        split_words(split_load(x + 16, n - 16), &hi[1], &lo[1]);
        _mm512_store_si512(to, split_beside(hi[0], hi[1]));
        _mm512_store_si512(to + SPLIT_TILE, split_beside(lo[0], lo[1]));
    }
}

/* Two rows of B of n columns, `step` apart from 32 to 32 columns, `to` being their line in the first group; and where `rows` is not NULL
 * the same as two rows of A, of which the second is a line after the first. */
CR_INLINE void split_pairs(const real *x, const real *y, long n, split_half *to, long step, split_half *rows) {
    for (; n > 0; n -= SPLIT_K, x += SPLIT_K, y += SPLIT_K, to += step) {
        __m512i hi[4], lo[4];
        for (int i = 0; i < 2; i++) {
            split_words(split_load(x + 16 * i, n - 16 * i), &hi[i], &lo[i]);
            split_words(split_load(y + 16 * i, n - 16 * i), &hi[2 + i], &lo[2 + i]);
            _mm512_store_si512(to + 2 * i * SPLIT_TILE, split_joined(hi[i], hi[2 + i]));
            _mm512_store_si512(to + (2 * i + 1) * SPLIT_TILE, split_joined(lo[i], lo[2 + i]));
        }
        if (rows) {
            for (int r = 0; r < 2; r++) {
                _mm512_store_si512(rows + r * SPLIT_LINE, split_beside(hi[2 * r], hi[2 * r + 1]));
                _mm512_store_si512(rows + r * SPLIT_LINE + SPLIT_TILE, split_beside(lo[2 * r], lo[2 * r + 1]));
            }
            rows += SPLIT_GROUP;
        }
    }
}

/* Sixteen lines of a tile, as words of 32 bits, become its columns: what was 16 columns of pairs is 16 rows, and the other way round. */
static void split_turn(split_half *tile) {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; i++) r[i] = _mm512_load_si512(tile + i * SPLIT_LINE);
    for (int i = 0; i < 16; i += 2) t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]), r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]), r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int j = 0; j < 4; j++) { /* r[4 i + j] has of the rows from 4 i the columns j, 4 + j, 8 + j, 12 + j */
        const __m512i a = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88), b = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd);
        const __m512i c = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88), d = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);
        _mm512_store_si512(tile + j * SPLIT_LINE, _mm512_shuffle_i32x4(a, c, 0x88));
        _mm512_store_si512(tile + (4 + j) * SPLIT_LINE, _mm512_shuffle_i32x4(b, d, 0x88));
        _mm512_store_si512(tile + (8 + j) * SPLIT_LINE, _mm512_shuffle_i32x4(a, c, 0xdd));
        _mm512_store_si512(tile + (12 + j) * SPLIT_LINE, _mm512_shuffle_i32x4(b, d, 0xdd));
    }
}

/* Rows of a matrix (rows, n), x_r apart, as columns of B: `to` is the first of split_blocks(n) groups for each 32 rows, which lie
 * `step` apart. */
static void split_columns(long rows, long n, const real *x, long x_r, split_half *to, long step) {
    for (long from = 0; from < rows; from += SPLIT_K, to += step)
        for (long i = 0; i < 2; i++) {
            for (long r = from + 16 * i; r < from + 16 * i + 16; r++) {
                split_half *line = to + split_row_at(r - from);
                if (r < rows) split_row(x + r * x_r, n, line);
                else for (long k = 0; k < split_blocks(n); k++)
                    for (int part = 0; part < 2; part++) memset(line + k * SPLIT_GROUP + part * SPLIT_TILE, 0, 64);
            }
            for (long k = 0; k < split_blocks(n); k++)
                for (int part = 0; part < 2; part++) split_turn(to + k * SPLIT_GROUP + (2 * i + part) * SPLIT_TILE);
        }
}

/* A matrix (depth, cols), rows x_r apart, as B; the groups of a block of columns lie one after the other, those of the next `step` after. */
static void split_matrix(long depth, long cols, const real *x, long x_r, split_half *to, long step) {
    for (long k = 0; k < cr_ceil(depth, SPLIT_K) * 16; k++) {
        split_half *line = to + k / 16 * SPLIT_GROUP + k % 16 * SPLIT_LINE;
        if (2 * k + 1 < depth) split_pairs(x + 2 * k * x_r, x + (2 * k + 1) * x_r, cols, line, step, NULL);
        else for (long j = 0; j < split_blocks(cols); j++) {
            real rows[2][SPLIT_K] = {{0}};
            const long width = cr_min(SPLIT_K, cols - j * SPLIT_K);
            if (2 * k < depth) memcpy(rows[0], x + 2 * k * x_r + j * SPLIT_K, width * sizeof(real));
            split_pairs(rows[0], rows[1], SPLIT_K, line + j * step, step, NULL);
        }
    }
}

#define SPLIT_LOADS(first, second, at, tile) \
    _tile_loadd(first, (at) + (tile) * SPLIT_TILE, 64); \
    _tile_loadd(second, (at) + ((tile) + 2) * SPLIT_TILE, 64);
#define SPLIT_FOUR _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
#define SPLIT_TWO _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);

/* C (32, 32), or its first 16 rows, is the product over `depth` groups of A and of B, a_k and b_k halves apart, or that added to what is
 * there; rows of C are c_r apart. */
CR_ONCE void split_block(long rows, long depth, const split_half *a, long a_k, const split_half *b, long b_k, real *c, long c_r, int add) {
    const long apart = c_r * sizeof(real);
    __asm__ volatile("" ::: "memory");
    if (add) {
        _tile_loadd(0, c, apart);
        _tile_loadd(1, c + 16, apart);
        if (rows > 16) {
            _tile_loadd(2, c + 16 * c_r, apart);
            _tile_loadd(3, c + 16 * c_r + 16, apart);
        }
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    if (rows > 16)
        for (; depth > 0; depth--, a += a_k, b += b_k) {
            SPLIT_LOADS(4, 5, a, 1)
            SPLIT_LOADS(6, 7, b, 0)
            SPLIT_FOUR
            SPLIT_LOADS(4, 5, a, 0)
            SPLIT_FOUR
            SPLIT_LOADS(6, 7, b, 1)
            SPLIT_FOUR
        }
    else
        for (; depth > 0; depth--, a += a_k, b += b_k) {
            _tile_loadd(4, a + SPLIT_TILE, 64);
            SPLIT_LOADS(6, 7, b, 0)
            SPLIT_TWO
            _tile_loadd(4, a, 64);
            SPLIT_TWO
            SPLIT_LOADS(6, 7, b, 1)
            SPLIT_TWO
        }
    _tile_stored(0, c, apart);
    _tile_stored(1, c + 16, apart);
    if (rows > 16) {
        _tile_stored(2, c + 16 * c_r, apart);
        _tile_stored(3, c + 16 * c_r + 16, apart);
    }
    __asm__ volatile("" ::: "memory");
}
#endif
