"""Pooling of the C kernels against torch, by enumeration and adjoint identities, over odd sizes and strides."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from kernels import FEW, LAYOUTS, laid_out


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
