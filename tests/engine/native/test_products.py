"""Matrix products of the C kernels against torch in double precision, over odd sizes and strides."""

import ctypes
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import FEW, GUARD, LAYOUTS, laid_out, multiply


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
