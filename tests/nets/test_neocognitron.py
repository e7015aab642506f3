"""The neocognitron's cells against the paper's equations in loops, and what they are for: selectivity, and tolerance of moves."""

import math

import numpy as np
import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.neocognitron import ComplexCells, SimpleCells


def around(maps, row, column, kernel):
    """The kernel x kernel places around one, zeros outside: (planes, kernel, kernel)."""
    half = kernel // 2
    padded = np.pad(maps, ((0, 0), (half, half), (half, half)))
    return padded[:, row : row + kernel, column : column + kernel]


def distances(kernel):
    return np.array([[math.hypot(i - kernel // 2, j - kernel // 2) for j in range(kernel)] for i in range(kernel)])


@pytest.mark.parametrize("kernel", [3, 5])
def test_s_cells_are_equations_1_and_3(kernel):
    torch.manual_seed(0)
    cells = SimpleCells(2, 4, kernel, selectivity=2.5).double()
    cells.weight.data.uniform_(0, 3)
    cells.inhibition.data.uniform_(0, 2)
    x = torch.rand(3, 2, 5, 6, dtype=torch.float64)
    a, b, r = cells.weight.detach().numpy(), cells.inhibition.detach().numpy(), 2.5
    c = 0.9 ** distances(kernel)
    c = c / (2 * c.sum())
    answers = cells(x).detach().numpy()
    for n, k, i, j in np.ndindex(*answers.shape):
        seen = around(x[n].numpy(), i, j, kernel)
        v = math.sqrt((c * seen**2).sum())
        expected = r * max((1 + (a[k] * seen).sum()) / (1 + 2 * r / (1 + r) * b[k] * v) - 1, 0)
        assert answers[n, k, i, j] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("stride", [(2, 2), (1, 2)])
def test_c_cells_are_equations_4_to_6(stride):
    torch.manual_seed(0)
    cells, x = ComplexCells(3, stride).double(), torch.rand(2, 3, 5, 4, dtype=torch.float64)
    d, answers = 0.8 ** distances(3), cells(x).numpy()
    assert answers.shape == (2, 3, -(-5 // stride[0]), 2)
    for n, k, i, j in np.ndindex(*answers.shape):
        sums = (d * around(x[n].numpy(), i * stride[0], j * stride[1], 3)).sum((1, 2))
        psi = max((1 + sums[k]) / (1 + sums.mean()) - 1, 0)
        assert answers[n, k, i, j] == pytest.approx(psi / (0.5 + psi), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("r", [1.0, 2.0, 4.0])
def test_a_cell_that_learned_one_pattern_answers_others_by_their_likeness_above_r_over_r_plus_1(r):
    """Section 2 in its limit: with a = q c p and b = q v / 2 the answer is r ((1 + r) s / r - 1), s the weighted cosine."""
    cells = SimpleCells(1, 1, 3, selectivity=r).double()
    c, q = cells.weighting.double(), 1e9
    generator = torch.Generator().manual_seed(0)
    pattern = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    length = (c * pattern**2).sum().sqrt()
    cells.weight.data = (q * c * pattern)[None, None]
    cells.inhibition.data = torch.tensor([q / 2 * length])
    for mix in (0.0, 0.2, 0.5, 1.0):
        other = (1 - mix) * pattern + mix * torch.rand(3, 3, generator=generator, dtype=torch.float64)
        likeness = float((c * pattern * other).sum() / length / (c * other**2).sum().sqrt())
        answer = float(cells(other[None, None])[0, 0, 1, 1].detach())
        assert answer == pytest.approx(max(r * ((1 + r) / r * likeness - 1), 0), abs=1e-5)
        assert (answer > 1e-6) == (likeness > r / (1 + r))
    assert float(cells(pattern[None, None])[0, 0, 1, 1].detach()) == pytest.approx(1)


def test_sizes_and_weights_are_counted():
    net = nets.choose("neocognitron:planes=5x7,selectivity=2").make((1, 9, 8), 3)
    assert sum(p.numel() for p in net.parameters()) == 5 * 9 + 5 + 7 * 5 * 9 + 7 + 3 * (7 * 3 * 2) + 3
    assert len(net.competitions(torch.rand(2, 1, 9, 8))) == 2


@pytest.mark.parametrize("spec", ["neocognitron:planes=none", "neocognitron:planes=4x0", "neocognitron:kernel=4", "neocognitron:spread=2",
                                  "neocognitron:selectivity=0", "neocognitron:planes=4x4,selectivity=none"])
def test_sizes_that_are_none_are_refused(spec):
    with pytest.raises(InputError, match=r"neocognitron expects planes of at least 1.*Write e.g. neocognitron:planes=24x64x128"):
        nets.choose(spec).make((1, 8, 8), 3)


def test_it_reads_pictures_alone():
    with pytest.raises(InputError, match="neocognitron reads pictures"):
        nets.choose("neocognitron").make((9,), 3)
