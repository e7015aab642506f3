"""The C kernels of native steps against torch in double precision, adjoint identities and the C library, over odd sizes and strides."""

import ctypes
import math
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.compiling import library

SOURCE = """
#include "kernels.h"
void product(const long *n, const real *a, const real *b, real *c, double alpha, double beta, const real *bias, real *scratch) {
    cr_matmul(n[0], n[1], n[2], a, n[3], n[4], b, n[5], n[6], c, n[7], n[8], alpha, beta, bias, n[9], n[10], scratch);
}
long panel(const long *n) { return cr_panel(n[0], n[1]); }
long width(void) { return CR_VL; }
long product_scratch(const long *n) { return cr_matmul_scratch(n[0], n[1], n[2]); }
static cr_conv conv(const long *n) { cr_conv s; memcpy(&s, n, sizeof s); return s; }
static cr_strides strides(const long *n) { cr_strides s; memcpy(&s, n, sizeof s); return s; }
static cr_pool pool(const long *n) { cr_pool s; memcpy(&s, n, sizeof s); return s; }
void forward(const long *n, const real *x, const long *xs, const real *w, const long *ws, const real *bias, real *y, const long *ys,
             real *scratch) {
    cr_conv2d(conv(n), x, strides(xs), w, strides(ws), bias, y, strides(ys), scratch);
}
void backward_input(const long *n, const real *dy, const long *ys, const real *w, const long *ws, real *dx, const long *xs,
                    real *scratch) {
    cr_conv2d_backward_input(conv(n), dy, strides(ys), w, strides(ws), dx, strides(xs), scratch);
}
void backward_weight(const long *n, const real *x, const long *xs, const real *dy, const long *ys, real *dw, const long *ws, real *db,
                     real *scratch) {
    cr_conv2d_backward_weight(conv(n), x, strides(xs), dy, strides(ys), dw, strides(ws), db, scratch);
}
long forward_scratch(const long *n) { return cr_conv2d_scratch(conv(n)); }
long backward_input_scratch(const long *n) { return cr_conv2d_backward_input_scratch(conv(n)); }
long backward_weight_scratch(const long *n) { return cr_conv2d_backward_weight_scratch(conv(n)); }
long weight_sums(const long *n) { return cr_sums_size(conv(n)); }
long tiled(const long *n) { return cr_win_forward(conv(n)); }
void max_pool(const long *n, const real *x, const long *xs, real *y, const long *ys, unsigned char *arg) {
    cr_maxpool2d(pool(n), x, strides(xs), y, strides(ys), arg);
}
void max_pool_back(const long *n, const real *dy, const long *ys, const unsigned char *arg, real *dx, const long *xs) {
    cr_maxpool2d_backward(pool(n), dy, strides(ys), arg, dx, strides(xs));
}
void mean_pool(const long *n, long pad, double divisor, const real *x, const long *xs, real *y, const long *ys) {
    cr_avgpool2d(pool(n), pad, divisor, x, strides(xs), y, strides(ys));
}
void mean_pool_back(const long *n, long pad, double divisor, const real *dy, const long *ys, real *dx, const long *xs) {
    cr_avgpool2d_backward(pool(n), pad, divisor, dy, strides(ys), dx, strides(xs));
}
#define MAP(f) void map_##f(long n, const real *restrict x, real *restrict y) { for (long i = 0; i < n; i++) y[i] = cr_##f(x[i]); }
MAP(exp) MAP(expm1) MAP(log) MAP(log1p) MAP(tanh) MAP(sigmoid)
"""

KINDS = {"one thread": (torch.float32, 1), "two threads": (torch.float32, 2), "double": (torch.float64, 2)}
GUARD = 7.0  # what lies around a buffer, and must lie there afterwards
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


class Kernels:
    """The compiled kernels of one precision and number of threads, called with tensors."""

    def __init__(self, dtype, threads, folder):
        self.dtype = dtype
        defines = f"#define CR_THREADS {threads}\n" + ("#define CR_DOUBLE\n" if dtype == torch.float64 else "")
        self.library = library(defines + SOURCE, threads, folder)
        self.tolerance = 1e-12 if dtype == torch.float64 else 1e-5

    def __call__(self, name, sizes, *given):
        """Tensors as pointers, 4-D ones with their strides; where the kernel has scratch, full of NaN and no longer than it says.

        Returns the scratch as the kernel leaves it."""
        sizes = (ctypes.c_long * len(sizes))(*sizes)
        arguments = [sizes]
        for one in given:
            if isinstance(one, torch.Tensor):
                arguments.append(ctypes.c_void_p(one.data_ptr()))
                if one.ndim == 4 and one.dtype != torch.uint8:
                    arguments.append((ctypes.c_long * 4)(*one.stride()))
            else:
                arguments.append(ctypes.c_double(one) if isinstance(one, float) else one if one is None else ctypes.c_long(one))
        scratch = None
        if f"{name}_scratch" in SOURCE:
            length = self.count(f"{name}_scratch", sizes)
            held = torch.full((length + 64,), math.nan, dtype=self.dtype)
            begin = -held.data_ptr() % 64 // held.element_size()
            scratch, behind = held[begin:begin + length], held[begin + length:]
            behind.fill_(GUARD)
            arguments.append(ctypes.c_void_p(held[begin:].data_ptr()))
        function = getattr(self.library, name)
        function.restype = None
        function(*arguments)
        assert scratch is None or bool((behind == GUARD).all()), f"{name} wrote behind its scratch"
        return scratch

    def count(self, name, sizes):
        """The number that a function of the sizes returns."""
        function = getattr(self.library, name)
        function.restype = ctypes.c_long
        return function((ctypes.c_long * len(sizes))(*sizes))

    def close(self, got, want, terms=1):
        """Within rounding of `want`, a sum of so many terms in double precision."""
        scale = max(float(want.nan_to_num(0, 0, 0).abs().max()) if want.numel() else 0, 1) * self.tolerance * math.sqrt(terms + 1)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=scale, equal_nan=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    try:
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(KINDS, pool.map(lambda kind: Kernels(*kind, folder), KINDS.values()), strict=True))
    except PlanRejected as why:
        pytest.skip(str(why))


@pytest.fixture(params=KINDS)
def kernels(made, request):
    return made[request.param]


def laid_out(t, how, generator):
    """The same numbers in another place: `rows` or `columns` dense, or `apart` with gaps and off every boundary."""
    if how == "apart":
        held = torch.full([2 * n + 3 for n in t.shape], GUARD, dtype=t.dtype)
        view = held[tuple(slice(1, 2 * n + 1, 2) for n in t.shape)]
        return view.copy_(t)
    order = list(range(t.ndim)) if how == "rows" else [0, 2, 3, 1] if t.ndim == 4 else [1, 0]
    held = torch.empty(t.numel() + 1, dtype=t.dtype)[int(generator.random() < 0.5):][:t.numel()]
    view = held.view([t.shape[i] for i in order]).permute([order.index(i) for i in range(t.ndim)])
    return view.copy_(t)


LAYOUTS = st.sampled_from(["rows", "columns", "apart"])


def multiply(kernels, a, b, c, alpha=1.0, beta=0.0, bias=None):
    """alpha a b + beta c + bias into c."""
    sizes = [len(a), b.shape[1], a.shape[1], *a.stride(), *b.stride(), *c.stride(), *((0, 0) if bias is None else bias.stride())]
    kernels("product", sizes, a, b, c, alpha, beta, bias)


@given(sizes=st.tuples(*[st.integers(1, 40)] * 3), stretch=st.sampled_from([(1, 1, 1), (1, 1, 12), (1, 9, 1), (9, 1, 1)]),
       layouts=st.tuples(*[LAYOUTS] * 4), alpha=st.sampled_from([1.0, -0.3]), beta=st.sampled_from([0.0, 1.0, 0.5]),
       added=st.sampled_from(["nothing", "row", "column", "matrix"]), generator=st.randoms(use_true_random=False))
@settings(FEW, max_examples=80)
def test_products_of_any_shape_and_stride(kernels, sizes, stretch, layouts, alpha, beta, added, generator):
    """Oracle: torch in double precision. Where beta is 0, C is full of NaN and must not be read; C's gaps stay as they are."""
    torch.manual_seed(generator.randrange(1000))
    m, n, k = (size * times for size, times in zip(sizes, stretch, strict=True))
    a, b, c, bias = (torch.randn(shape, dtype=torch.float64).to(kernels.dtype) for shape in ((m, k), (k, n), (m, n), (m, n)))
    bias = {"nothing": None, "row": bias[:1].expand(m, n), "column": bias[:, :1].expand(m, n), "matrix": bias}[added]
    want = alpha * (a.double() @ b.double()) + (beta * c.double() if beta else 0) + (0 if bias is None else bias.double())
    a, b, c = (laid_out(t, how, generator) for t, how in zip((a, b, c if beta else c.fill_(math.nan)), layouts, strict=False))
    if added == "matrix":
        bias = laid_out(bias, layouts[3], generator)
    multiply(kernels, a, b, c, alpha, beta, bias)
    kernels.close(c, want, k)
    if layouts[2] == "apart":
        assert float(c._base.double().sum() - c.double().sum()) == pytest.approx(GUARD * (c._base.numel() - c.numel()), rel=1e-4)


def test_panels_cover_the_columns_and_fill_a_vector(kernels):
    """Else a tile would read behind the end of a matrix, which its result does not show."""
    width = kernels.library.width()
    for columns in range(1, 10 * width):
        cuts = [kernels.library.panel((ctypes.c_long * 2)(columns, i)) for i in range(math.ceil(columns / (2 * width)) + 1)]
        widths = np.diff(cuts)
        assert (cuts[0], cuts[-1]) == (0, columns)
        assert widths.max() <= 2 * width
        assert widths.min() >= min(width, columns)


@pytest.mark.parametrize("layouts", [("rows", "rows"), ("rows", "columns"), ("columns", "rows")])
@pytest.mark.parametrize(("m", "n", "k"), [(130, 600, 530), (20, 1024, 600), (10, 30, 787), (256, 5, 300), (3, 6, 101)])
def test_blocked_products(kernels, m, n, k, layouts):
    """Sizes beyond every block, cut unevenly; strides that are powers of two, for which rows are packed; ends of dot products."""
    torch.manual_seed(0)
    a, b = (laid_out(torch.randn(shape, dtype=kernels.dtype), how, random.Random(0))
            for shape, how in zip(((m, k), (k, n)), layouts, strict=True))
    start, bias = torch.randn(m, n, dtype=kernels.dtype), torch.randn(n, dtype=kernels.dtype)
    kept, new = start.clone(), torch.full_like(start, math.nan)
    multiply(kernels, a, b, kept, -0.5, 1.0)
    multiply(kernels, a, b, new, bias=bias.expand(m, n))
    kernels.close(kept, start.double() - 0.5 * (a.double() @ b.double()), k)
    kernels.close(new, a.double() @ b.double() + bias.double(), k)


@pytest.mark.parametrize(("m", "n", "k", "layouts"), [
    (3, 9, 100, ("rows", "columns")), (30, 40, 70, ("rows", "rows")), (7, 3, 20, ("columns", "rows"))])
def test_not_a_number_and_infinity_pass_through(kernels, m, n, k, layouts):
    """One NaN spoils its row and one infinity its column, no more: the definition of a product."""
    a, b = torch.rand(m, k, dtype=kernels.dtype) + 1, torch.rand(k, n, dtype=kernels.dtype) + 1
    a[2, k - 1], b[0, 1] = math.nan, math.inf
    c = torch.zeros(m, n, dtype=kernels.dtype)
    multiply(kernels, laid_out(a, layouts[0], random.Random(0)), laid_out(b, layouts[1], random.Random(0)), c)
    row, column = torch.arange(m)[:, None] == 2, torch.arange(n) == 1
    assert torch.equal(c.isnan(), row.expand(m, n))
    assert torch.equal(c == math.inf, column & ~row)


def test_an_empty_sum_is_zero(kernels):
    c = torch.full((3, 17), math.nan, dtype=kernels.dtype)
    multiply(kernels, torch.zeros(3, 0, dtype=kernels.dtype), torch.zeros(0, 17, dtype=kernels.dtype), c)
    assert torch.equal(c, torch.zeros_like(c))


@st.composite
def convolutions(draw):
    """(n, c, h, w, o, kh, kw, stride, pad, dilation) with at least one pixel of output."""
    kernel, stride, pad, dil = (tuple(draw(st.integers(low, high)) for _ in "hw") for low, high in ((1, 5), (1, 3), (0, 3), (1, 3)))
    least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, p, d in zip(kernel, pad, dil, strict=True)]
    h, w = (draw(st.integers(low, max(low, 14))) for low in least)
    c, o = draw(st.sampled_from([1, 2, 3, 5, 8, 9, 16, 33, 256])), draw(st.sampled_from([1, 3, 8, 10, 16, 17, 24, 40]))
    return draw(st.integers(1, 4)), c, h, w, o, *kernel, *stride, *pad, *dil


@st.composite
def tiled_convolutions(draw):
    """The same for kernels that go by tiles of pixels: whole vectors of channels, enough tiles, edges that cut tiles off."""
    kernel, c, o = draw(st.sampled_from([3, 5])), *(draw(st.sampled_from([16, 32, 48])) for _ in "co")
    pads, image = [draw(st.integers(0, kernel)) for _ in "hw"], [draw(st.integers(8, 17)) for _ in "hw"]
    outputs = 7 - kernel
    tiles = math.prod(-(-(side + 2 * pad - kernel + 1) // outputs) for side, pad in zip(image, pads, strict=True))
    return -(-64 // tiles) + draw(st.integers(0, 1)), c, *image, o, kernel, kernel, 1, 1, *pads, 1, 1


@given(sizes=st.one_of(convolutions(), tiled_convolutions()), layouts=st.tuples(*[LAYOUTS] * 3), biased=st.booleans(),
       generator=st.randoms(use_true_random=False))
@example(sizes=(2, 32, 14, 14, 64, 5, 5, 1, 1, 2, 2, 1, 1), layouts=("columns", "rows", "columns"), biased=True, generator=random.Random(0))
@example(sizes=(5, 16, 13, 15, 24, 3, 3, 1, 1, 1, 1, 1, 1), layouts=("columns", "rows", "apart"), biased=True, generator=random.Random(0))
@example(sizes=(3, 256, 6, 5, 9, 3, 3, 1, 1, 1, 1, 1, 1), layouts=("columns", "rows", "columns"), biased=True, generator=random.Random(0))
@example(sizes=(2, 3, 9, 8, 256, 3, 2, 2, 3, 1, 0, 2, 1), layouts=("rows", "rows", "apart"), biased=False, generator=random.Random(0))
@FEW
def test_convolutions_and_their_adjoints(kernels, sizes, layouts, biased, generator):
    """Oracle: torch in double precision. Second: <conv(x, w), g> = <x, back(g)> = <w, back(x, g)>, whatever torch does."""
    torch.manual_seed(generator.randrange(1000))
    n, c, h, w, o, kh, kw, sh, sw, ph, pw, dh, dw = sizes
    x, weight, bias = (torch.randn(s, dtype=torch.float64).to(kernels.dtype).double() for s in ((n, c, h, w), (o, c, kh, kw), (o,)))
    want = F.conv2d(x, weight, bias if biased else None, (sh, sw), (ph, pw), (dh, dw))
    g = torch.randn_like(want).to(kernels.dtype).double()
    back = torch.ops.aten.convolution_backward(g, x, weight, [o], [sh, sw], [ph, pw], [dh, dw], False, [0, 0], 1, [True, True, True])
    x, weight, g = (laid_out(t.to(kernels.dtype), how, generator) for t, how in zip((x, weight, g), layouts, strict=True))
    y, dx, dweight = (laid_out(torch.full_like(t, math.nan), how, generator) for t, how in zip((g, x, weight), layouts[::-1], strict=True))
    added, dbias = (bias.to(kernels.dtype), torch.full((o,), math.nan, dtype=kernels.dtype)) if biased else (None, None)
    kernels("forward", sizes, x, weight, added, y)
    kernels("backward_input", sizes, g, weight, dx)
    kernels("backward_weight", sizes, x, g, dweight, dbias)
    kernels.close(y, want, c * kh * kw)
    kernels.close(dx, back[0], o * kh * kw)
    kernels.close(dweight, back[1], g.numel() / o)
    product = float((y.double() * g.double()).sum())
    if biased:
        kernels.close(dbias, back[2], g.numel() / o)
        product -= float((dbias.double() * bias).sum())
    rounding = kernels.tolerance * 10 * (1 + float(y.double().norm() * g.double().norm()))
    assert abs(product - float((x.double() * dx.double()).sum())) < rounding
    assert abs(product - float((weight.double() * dweight.double()).sum())) < rounding


def test_more_threads_share_the_work_and_repeat_to_the_bit(made):
    """Above the size from which work is shared: the same bits twice, and one thread's numbers within rounding.

    That it is shared shows in the scratch: its end is the room of the second share alone. Numbers need not show it: sums of two shares
    may round to the bits of one."""
    torch.manual_seed(0)
    x = torch.randn(9, 16, 20, 20).contiguous(memory_format=torch.channels_last)
    weight, g = torch.randn(24, 16, 3, 3), torch.randn(9, 24, 20, 20).contiguous(memory_format=torch.channels_last)
    sizes = (*x.shape, 24, 3, 3, 1, 1, 1, 1, 1, 1)
    a, b = torch.randn(200, 150), torch.randn(150, 300)

    def outcome(kernels):
        y, dx, dweight = torch.empty_like(g), torch.empty_like(x), torch.empty_like(weight)
        dbias, c = torch.empty(24), torch.empty(200, 300)
        kernels("forward", sizes, x, weight, None, y)
        kernels("backward_input", sizes, g, weight, dx)
        scratch = kernels("backward_weight", sizes, x, g, dweight, dbias)
        multiply(kernels, a, b, c)
        return scratch, [y, dx, dweight, dbias, c]

    (room, alone), (scratch, shared), (_, once_more) = (outcome(made[kind]) for kind in ("one thread", "two threads", "two threads"))
    for one, two, again in zip(alone, shared, once_more, strict=True):
        assert torch.equal(two, again)
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5 * float(one.abs().max()))
    behind_the_first = len(room) + made["two threads"].count("weight_sums", sizes)
    assert not bool(scratch[behind_the_first:].isnan().all()), "the first share did the work of both"


@given(sizes=tiled_convolutions())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_what_goes_by_tiles(made, sizes):
    """Sizes meant to be tiled are, and none whose taps are further apart, whose channels are no whole vectors, or whose tiles are few."""
    tiled = made["one thread"].library.tiled

    def asked(sizes):
        return tiled((ctypes.c_long * 13)(*sizes))

    assert asked(sizes)
    assert not any(asked((*sizes[:at], other, *sizes[at + 1:])) for at, other in ((0, 0), (1, 17), (4, 3), (5, 4), (7, 2), (12, 2)))


@st.composite
def windows(draw, dilated):
    kernel = [draw(st.integers(1, 4)) for _ in "hw"]
    stride = [draw(st.integers(1, 4)) for _ in "hw"]
    pad = [draw(st.integers(0, k // 2)) for k in kernel]
    dil = [draw(st.integers(1, 2)) if dilated else 1 for _ in "hw"]
    size = [draw(st.integers(d * (k - 1) + 1, 14)) for k, d in zip(kernel, dil, strict=True)]
    return draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 8, 13, 16, 33])), *size, *kernel, *stride, *pad, *dil


def pooled(kernels, sizes, generator, layouts, forward, put):
    """x, output, its gradient and dx by torch in double precision; and x, dy laid out, with room for y and dx."""
    x = put(torch.randn(sizes[:4], dtype=torch.float64).to(kernels.dtype).double()).requires_grad_()
    want = forward(x)
    g = torch.randn_like(want).to(kernels.dtype).double()
    dx, = torch.autograd.grad(want, x, g)
    given = [laid_out(t.detach().to(kernels.dtype), how, generator) for t, how in zip((x, g), layouts, strict=True)]
    room = [laid_out(torch.full_like(t, math.nan), how, generator) for t, how in zip(given[::-1], layouts, strict=True)]
    return want.detach(), dx, *given, *room, (*sizes[:4], *want.shape[2:], *sizes[4:])


@given(sizes=windows(dilated=True), ceil=st.booleans(), put=st.sampled_from(["plain", "equal", "spoiled"]),
       layouts=st.tuples(LAYOUTS, LAYOUTS), generator=st.randoms(use_true_random=False))
@FEW
def test_largest_of_a_window(kernels, sizes, ceil, put, layouts, generator):
    """Oracle: torch, also where several are equal (the first wins) and where some are NaN (they win); winners by enumeration."""
    torch.manual_seed(generator.randrange(1000))
    _, _, _, _, kh, kw, sh, sw, ph, pw, dh, dw = sizes
    change = {"plain": lambda x: x, "equal": torch.round, "spoiled": lambda x: x.masked_fill(torch.rand_like(x) < 0.1, math.nan)}[put]
    want, want_dx, x, g, y, dx, all_sizes = pooled(
        kernels, sizes, generator, layouts, lambda x: F.max_pool2d(x, (kh, kw), (sh, sw), (ph, pw), (dh, dw), ceil), change)
    won = torch.full((want.shape[0], *want.shape[2:], want.shape[1]), 255, dtype=torch.uint8)
    kernels("max_pool", all_sizes, x, y, won)
    kernels("max_pool_back", all_sizes, g, won, dx)
    kernels.close(y, want)
    kernels.close(dx, want_dx, 16)
    n, i, j, c = torch.meshgrid(*[torch.arange(size) for size in won.shape], indexing="ij")
    row, column = i * sh - ph + won.long() // kw * dh, j * sw - pw + won.long() % kw * dw
    torch.testing.assert_close(x[n, c, row, column], y.permute(0, 2, 3, 1), rtol=0, atol=0, equal_nan=True)


@given(sizes=windows(dilated=False), ceil=st.booleans(), padded=st.booleans(), divisor=st.sampled_from([0, 3]),
       layouts=st.tuples(LAYOUTS, LAYOUTS), generator=st.randoms(use_true_random=False))
@FEW
def test_mean_of_a_window(kernels, sizes, ceil, padded, divisor, layouts, generator):
    """Oracle: torch. Second: the means are linear, so <y, g> = <x, dx>."""
    torch.manual_seed(generator.randrange(1000))
    _, _, _, _, kh, kw, sh, sw, ph, pw, *_ = sizes

    def mean(x):
        return F.avg_pool2d(x, (kh, kw), (sh, sw), (ph, pw), ceil, padded, divisor or None)

    want, want_dx, x, g, y, dx, all_sizes = pooled(kernels, sizes, generator, layouts, mean, lambda x: x)
    kernels("mean_pool", all_sizes, int(padded), float(divisor), x, y)
    kernels("mean_pool_back", all_sizes, int(padded), float(divisor), g, dx)
    kernels.close(y, want, 16)
    kernels.close(dx, want_dx, 16)
    there, back = float((y.double() * g.double()).sum()), float((x.double() * dx.double()).sum())
    assert there == pytest.approx(back, abs=kernels.tolerance * 10 * (1 + float(y.double().norm() * g.double().norm())))


def applied(kernels, name, x):
    y = torch.empty_like(x)
    getattr(kernels.library, f"map_{name}")(ctypes.c_long(len(x)), ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()))
    return y.numpy()


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


FUNCTIONS = {  # with the most units in the last place, which where nothing multiplies and adds at once are 1.54 for expm1
    "exp": (np.exp, 1.0), "expm1": (np.expm1, 1.75), "log": (np.log, 1.0), "log1p": (np.log1p, 1.5), "tanh": (np.tanh, 1.5),
    "sigmoid": (sigmoid, 2.5)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_over_all_single_precision_numbers(made, name):
    """Every 2003rd bit pattern, NaN, infinities and subnormals among them, against the C library in double precision."""
    exact, most = FUNCTIONS[name]
    special = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 88.8, -103.9, 1e-45, -1e-45, 3.4e38], dtype=np.float32)
    every = np.arange(0, 2**32, 2003, dtype=np.uint32).view(np.float32)
    x = np.concatenate([every, special, np.linspace(-4, 4, 400_001, dtype=np.float32)])
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64))
        rounded = want.astype(np.float32)
    got = applied(made["one thread"], name, torch.from_numpy(x))
    assert np.array_equal(np.isnan(got), np.isnan(rounded))
    assert np.array_equal(got[np.isinf(rounded)], rounded[np.isinf(rounded)])
    finite = np.isfinite(rounded)
    unit = np.maximum(np.spacing(np.abs(rounded[finite])).astype(np.float64), 2.0**-149)
    off = np.abs(got[finite].astype(np.float64) - want[finite]) / unit
    assert off.max() <= most, f"{name}({x[finite][off.argmax()]!r}) is {off.max():.2f} units in the last place off"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_in_double_precision(made, name):
    x = np.concatenate([np.linspace(-30, 30, 10_001), [math.inf, -math.inf, math.nan, 0.0, 710, -745]])
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][0](x)
    np.testing.assert_allclose(applied(made["double"], name, torch.from_numpy(x)), want, rtol=1e-15, atol=0)
