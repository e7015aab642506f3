"""Products of single precision as three of bfloat16: the product beside double precision, and recurrent layers beside their cells."""

import ctypes

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.kernels import can_split, offered_to, split_products
from chainrule.engine.native import scan
from chainrule.engine.native.compiling import library
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import ElmanLayer

if not torch.cpu._is_amx_tile_supported():
    pytest.skip("this processor has no AMX", allow_module_level=True)
if not scan.splits("lstm"):
    pytest.skip("the compiler does not know AMX, or the system does not let it be used", allow_module_level=True)

SOURCE = """
#include "kernels.h"
#include "split.h"
/* C (m, n) = A (m, k) B (k, n), B packed from its rows, or from those of its transpose (n, k). */
void product(long m, long n, long k, const real *a, const real *b, long turned, real *c, split_half *pa, split_half *pb, real *sums,
             long cut) {
    const long step = split_blocks(k) * SPLIT_GROUP, row = split_blocks(n) * 32 + 16;
    for (long r = 0; r < m; r++) split_row(a + r * k, k, pa + r / 32 * step + split_row_at(r % 32));
    if (turned) split_columns(n, k, b, k, pb, step);
    else split_matrix(k, n, b, n, pb, step);
    split_begin();
    for (long i = 0; i < m; i += 32)
        for (long j = 0; j < n; j += 32)
            for (long d = 0; d < split_blocks(k); d += cut)
                split_block(cr_min(m - i, 32), cr_min(cut, split_blocks(k) - d), pa + i / 32 * step + d * SPLIT_GROUP, SPLIT_GROUP,
                            pb + j / 32 * step + d * SPLIT_GROUP, SPLIT_GROUP, sums + i * row + j, row, d > 0);
    split_end();
    for (long i = 0; i < m; i++) memcpy(c + i * n, sums + i * row, n * sizeof(real));
}
"""
LAYERS = (LSTMLayer, GRULayer, ElmanLayer)
SHAPES = [(1, 4, 2, 3), (5, 7, 33, 33), (33, 3, 20, 40), (32, 5, 27, 64), (7, 6, 40, 300), (67, 2, 3, 16)]      # rows, steps, inputs, units
BOUND = 3e-5        # of the norm of what is computed, or of numbers about one; single precision is off by 1e-7, bfloat16 by 3e-3

each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.kernel)


def aligned(reals):
    memory = torch.zeros(reals + 16)
    return memory, ctypes.c_void_p(-(-memory.data_ptr() // 64) * 64)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    loaded = library(SOURCE, 1, tmp_path_factory.mktemp("split"))

    def multiply(a, b, turned=False, cut=8):
        (m, k), n = a.shape, b.shape[1]
        b = b.T.contiguous() if turned else b
        c = torch.empty(m, n)
        up = [-(-size // 32) * 32 for size in (m, n, k)]
        (_a, pa), (_b, pb), (_s, sums) = aligned(up[0] * up[2]), aligned(up[1] * up[2]), aligned(up[0] * (up[1] + 16))
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (a, b, c)]
        loaded.product(*map(ctypes.c_long, (m, n, k)), *pointers[:2], ctypes.c_long(turned), pointers[2], pa, pb, sums, ctypes.c_long(cut))
        return c

    return multiply


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (5, 33, 7), (16, 16, 32), (33, 40, 65), (32, 64, 256), (70, 31, 300)])
@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e15])
def test_a_product_is_as_close_to_double_precision_as_its_parts_say(product, m, n, k, scale):
    """hi rounds to 2^-9, lo what is left to 2^-9 of that: each number is off by 2^-17, what is left out by 2^-18, sums by 2^-24 a term."""
    torch.manual_seed(0)
    a, b = scale * torch.randn(m, k) * torch.randn(m, 1).exp(), torch.randn(k, n) * torch.randn(1, n).exp()
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    once = product(a, b)
    assert ((once - exact).abs() <= (2.0**-16 + k * 2.0**-24) * size).all()
    assert torch.equal(product(a, b, turned=True), once)
    low = (a.bfloat16().double() @ b.bfloat16().double() - exact).abs().sum()
    assert k == 1 or (once - exact).abs().sum() < low / 50
    assert ((product(a, b, cut=1) - exact).abs() <= (2.0**-16 + k * 2.0**-24) * size).all()


def test_numbers_that_bfloat16_holds_are_multiplied_exactly(product):
    torch.manual_seed(0)
    a, b = torch.randint(-255, 256, (40, 50)).float(), torch.randint(-4, 5, (50, 20)).float()
    assert torch.equal(product(a, b), a @ b)
    assert torch.equal(product(a * 257, b), a * 257 @ b)      # sixteen bits, in two halves of eight


def test_what_is_not_a_number_stays_so(product):
    a = torch.randn(3, 40)
    a[1, 39] = float("nan")
    answer = product(a, torch.randn(40, 5))
    assert answer[1].isnan().all()
    assert answer[[0, 2]].isfinite().all()


def varied(layer, inputs, units):
    torch.manual_seed(0)
    module = layer(inputs, units)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.5 * torch.randn_like(p) / p.shape[-1] ** 0.5)       # does not let differences grow from step to step
    return module


def everything(module, way, x):
    """Outputs, the state after, and the slopes of a random sum of them by everything."""
    outputs, state = way(x, module.initial(len(x)))
    generator = torch.Generator().manual_seed(1)
    total = sum((torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part) * part).sum() for part in [outputs, *state])
    return [outputs, *state, *torch.autograd.grad(total, [x, *module.parameters()])]


def natively(module):
    return lambda x, state: scan.scanned(module.kernel, x, state, *module.parameters_of_kernel())


def close(mine, exact, bound=BOUND):
    for a, b in zip(mine, exact, strict=True):
        assert a.shape == b.shape
        assert (a - b).norm() <= bound * max(float(b.detach().norm()), b.numel() ** 0.5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize(("rows", "steps", "inputs", "units"), SHAPES)
@each_layer
def test_a_layer_is_close_to_its_cells_in_double_precision(layer, rows, steps, inputs, units, rare, threads):
    torch.set_num_threads(threads)
    module, generator = varied(layer, inputs, units), torch.Generator().manual_seed(3)
    codes, numbers = torch.randint(inputs, (rows, steps), generator=generator), torch.randn(rows, steps, inputs, generator=generator)
    x = (F.one_hot(codes, inputs).float() if rare else numbers).requires_grad_()
    with split_products():
        mine = everything(module, natively(module), x)
        again = everything(module, natively(module), x)
    assert all(torch.equal(a, b) for a, b in zip(mine, again, strict=True))
    double = varied(layer, inputs, units).double()
    close(mine, everything(double, double.written_out, x.detach().double().requires_grad_()))


@each_layer
def test_products_are_split_where_that_is_asked_for_and_nowhere_else(layer):
    module, x = varied(layer, 20, 48), torch.randn(6, 9, 20, requires_grad=True)
    before = everything(module, natively(module), x)
    with split_products():
        outputs, _ = natively(module)(x, module.initial(6))
        inside = everything(module, natively(module), x)
    slopes = torch.autograd.grad(outputs.sum(), list(module.parameters()), allow_unused=True)      # split as forward was
    with split_products():
        outputs, _ = natively(module)(x, module.initial(6))
        within = torch.autograd.grad(outputs.sum(), list(module.parameters()), allow_unused=True)
    assert not torch.equal(inside[0], before[0])
    assert all(torch.equal(a, b) for a, b in zip(slopes, within, strict=True) if a is not None)
    assert all(torch.equal(a, b) for a, b in zip(everything(module, natively(module), x), before, strict=True))


def test_a_net_says_which_kernels_it_asks_for_and_the_machine_whether_they_split():
    assert offered_to(LSTM((7, 4), 3, hidden=6, layers=2, bidirectional=True)) == {"lstm"}
    assert offered_to(torch.nn.Conv2d(3, 4, 5)) == set()
    assert can_split(["lstm"])
    assert not can_split([])
    assert not can_split(["winnow"])
