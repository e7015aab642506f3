"""Rows that two parts share: exact ones by their bytes, near ones against independent rows of many shapes, and against planted copies."""

import pytest
import torch

from chainrule.audit.duplicates import exact, keys, near, within


def two_densities(n, g):
    """Half the rows in a cloud a thousand times denser than the other: one usual distance fits neither."""
    return torch.randn(n, 2, generator=g) * torch.where(torch.arange(n) % 2 == 0, 1.0, 1e-3)[:, None] + (torch.arange(n) % 2)[:, None] * 5


def line_and_cloud(n, g):
    """A third of the rows on a line, the others in three dimensions."""
    x = torch.randn(n, 3, generator=g)
    x[::3, 1:] = 0
    return x


SHAPES = {
    "normal in 1": lambda n, g: torch.randn(n, 1, generator=g), "normal in 2": lambda n, g: torch.randn(n, 2, generator=g),
    "normal in 8": lambda n, g: torch.randn(n, 8, generator=g), "two densities": two_densities, "line and cloud": line_and_cloud,
    "skewed": lambda n, g: torch.randn(n, 2, generator=g).mul(2).exp(),
    "heavy tails": lambda n, g: torch.randn(n, 2, generator=g) / torch.rand(n, 1, generator=g),
    "whole numbers": lambda n, g: torch.randint(0, 30, (n, 3), generator=g).float(),
    "yes and no beside numbers": lambda n, g: torch.cat([torch.randint(0, 2, (n, 3), generator=g).float(),
                                                         torch.randn(n, 2, generator=g)], 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_independent_rows_are_hardly_ever_near(shape):
    """Chance is allowed a pair in two of 40 worlds of 700 and 300 rows."""
    g, worlds, pairs = torch.Generator().manual_seed(0), 0, 0
    for _ in range(40):
        x = SHAPES[shape](1000, g)
        one = near(x[:700], x[700:])
        worlds += len(one.pairs) > 0
        pairs += len(one.pairs)
    assert worlds <= 6
    assert pairs <= 8


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "whole numbers"])
def test_rows_copied_with_a_touch_of_noise_are_near(shape):
    """Each copy lies a millionth as far off as its tenth neighbour: in one dimension, where that is not little, a thousandth of that."""
    g = torch.Generator().manual_seed(1)
    x = SHAPES[shape](1000, g).double()
    first, second = x[:700], x[700:].clone()
    apart = torch.cdist(first[:20], first).kthvalue(11, 1).values[:, None]
    touch = torch.randn(20, x.shape[1], generator=g, dtype=torch.float64)
    share = 1e-9 if shape in ("normal in 1", "line and cloud") else 1e-6
    second[:20] = first[:20] + touch / touch.norm(dim=1, keepdim=True) * apart * share
    found = near(first, second)
    copies = {(i, i) for i in range(20)}
    assert len(copies & set(map(tuple, found.pairs.tolist()))) >= 18
    assert len(found.pairs) <= 21


def test_equal_rows_are_exact_and_not_near():
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(2))
    y = torch.cat([x[:4], torch.randn(30, 3, generator=torch.Generator().manual_seed(3))])
    assert exact(keys(x), keys(y)).tolist() == [[i, i] for i in range(4)]
    assert len(near(x, y).pairs) == 0
    assert within(keys(torch.cat([x, x[:1], -0.0 * x[:1].abs(), 0.0 * x[:1].abs()]))) == [[0, 60], [61, 62]]


def test_of_few_rows_nothing_is_said():
    assert len(near(torch.randn(10, 2), torch.randn(5, 2)).pairs) == 0
    assert len(near(torch.ones(100, 2), torch.ones(5, 2)).pairs) == 0
