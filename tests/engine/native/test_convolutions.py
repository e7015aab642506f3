"""Convolutions of the C kernels against torch in double precision and by adjoint identities, over odd sizes and strides."""

import ctypes
import math
import random

import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernels import FEW, LAYOUTS, laid_out, multiply


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
