"""The verdict of separability: both kinds come with a proof, and each proof is checked here without the solver."""

import math

import pytest
import torch

from chainrule.audit import separability as module
from chainrule.audit.separability import Verdict, one_against_rest, separable
from chainrule.core.errors import InputError

CORNERS = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.double)


def check(verdict: Verdict, x: torch.Tensor, y: torch.Tensor) -> None:
    """A plane puts every sample strictly on its side; a proof is a mean of signed samples, with a one for the bias, that is zero."""
    x = x.double().flatten(1)
    classes = 2 if bool((y < 0).any()) or y.is_floating_point() else int(y.max()) + 1
    number = (y > 0).long() if classes == 2 else y
    if verdict.separable:
        scores = x @ verdict.weight.T + verdict.bias
        if classes == 2:
            assert ((scores[:, 0] > 0) == (number == 1)).all()
            assert float((scores[:, 0].abs() / verdict.weight.norm()).min()) == pytest.approx(verdict.margin)
        else:
            own = scores.gather(1, number[:, None]).squeeze(1)
            assert (scores.scatter(1, number[:, None], float("-inf")).amax(1) < own).all()
        assert len(verdict.share) == 0
        return
    assert bool((verdict.share > 0).all())
    assert float(verdict.share.sum()) == pytest.approx(1)
    assert len(verdict.rows) == len(verdict.rival) == len(verdict.share)
    assert (number[verdict.rows] != verdict.rival).all()
    total = torch.zeros(classes, x.shape[1] + 1, dtype=torch.double)
    for row, rival, share in zip(verdict.rows.tolist(), verdict.rival.tolist(), verdict.share.tolist(), strict=True):
        point = torch.cat([x[row], torch.ones(1, dtype=torch.double)])
        total[number[row]] += share * point
        total[rival] -= share * point
    scale = torch.cat([(x - x.mean(0)).abs().amax(0), torch.ones(1)])
    assert float((total / torch.where(scale > 0, scale, 1.0)).abs().sum()) <= 1e-7


@pytest.mark.parametrize(("name", "y", "expected"), [
    ("and", [-1, -1, -1, 1], True), ("or", [-1, 1, 1, 1], True), ("nand", [1, 1, 1, -1], True), ("xor", [-1, 1, 1, -1], False),
    ("one", [1, 1, 1, 1], True)])
def test_and_or_are_separable_and_xor_is_not(name, y, expected):
    verdict = separable(CORNERS, torch.tensor(y))
    assert verdict.separable == expected
    check(verdict, CORNERS, torch.tensor(y))
    assert ("not linearly separable" in str(verdict)) == (not expected)


def test_of_all_functions_of_three_bits_exactly_the_known_number_is_separable():
    """104 of the 256 functions of three inputs are threshold functions: Muroga (1971), Threshold Logic and Its Applications."""
    x = torch.tensor([[i >> k & 1 for k in range(3)] for i in range(8)], dtype=torch.double)
    count = 0
    for function in range(256):
        y = torch.tensor([1 if function >> i & 1 else -1 for i in range(8)])
        verdict = separable(x, y)
        check(verdict, x, y)
        count += verdict.separable
    assert count == 104


@pytest.mark.parametrize("seed", range(2))
def test_as_often_separable_as_covers_function_says(seed):
    """Cover (1965): of points in general position, half of all labellings of 2 (d + 1) points are separable, fewer with more points."""
    torch.manual_seed(seed)
    d, n = 3, 8
    x = torch.randn(n, d, dtype=torch.double)
    ways = sum(separable(x, torch.tensor([1 if k >> i & 1 else -1 for i in range(n)])).separable for k in range(2**n))
    assert ways == 2 * sum(math.comb(n - 1, k) for k in range(d + 1)) == 128


@pytest.mark.parametrize("gap", [0.3, 1e-3, 1e-6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_narrow_gap_is_found_at_every_scale_and_far_from_zero(gap, scale):
    torch.manual_seed(0)
    plane, along = torch.tensor([0.6, -0.8], dtype=torch.double), torch.tensor([0.8, 0.6], dtype=torch.double)
    place, away = torch.randn(300, dtype=torch.double), torch.rand(300, dtype=torch.double)
    away[:20] = 0  # ten pairs face each other across the gap
    place[:10] = place[10:20]
    y = torch.where(torch.arange(300) % 20 < 10, 1.0, -1.0).double()
    x = (place[:, None] * along + ((gap / 2 + away) * y)[:, None] * plane + 3) * scale
    verdict = separable(x, y)
    assert verdict.separable
    check(verdict, x, y)
    assert 0 < verdict.margin <= scale * gap / 2 * (1 + 1e-6)


@pytest.mark.parametrize("n", [50, 5000])
def test_one_point_on_the_wrong_side_is_enough(n, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(n, 4, dtype=torch.double)
    y = (x[:, 0] + 0.5).sign()
    assert separable(x, y).separable
    i = int((x.norm(dim=1) + 10 * (x[:, 0] + 0.5).abs()).argmin())  # amid the others
    y[i] = -y[i]
    verdict = separable(torch.cat([x, x[i : i + 1]]), torch.cat([y, -y[i : i + 1]]))  # and its twin on the other side
    assert not verdict.separable
    check(verdict, torch.cat([x, x[i : i + 1]]), torch.cat([y, -y[i : i + 1]]))


def test_conditions_are_added_until_the_plane_breaks_none(monkeypatch):
    monkeypatch.setattr(module, "FIRST", 5)
    torch.manual_seed(0)
    x = torch.randn(400, 3, dtype=torch.double)
    y = (x @ torch.ones(3, dtype=torch.double) + 0.1).sign()
    check(separable(x, y), x, y)
    assert separable(x, y).separable
    y[:40] = -y[:40]
    verdict = separable(x, y)
    assert not verdict.separable
    check(verdict, x, y)


def test_three_classes_together_and_each_against_the_rest():
    """The class between the two others cannot be cut off by one line, though all three can be told apart by scores."""
    x = torch.tensor([[-3.0, 0], [-2, 1], [-0.2, 0], [0.2, 1], [2, 0], [3, 1]], dtype=torch.double)
    y = torch.tensor([0, 0, 1, 1, 2, 2])
    together = separable(x, y)
    assert together.separable
    check(together, x, y)
    assert [v.separable for v in one_against_rest(x, y)] == [True, False, True]
    twin = torch.cat([x, x[2:3]])
    mixed = separable(twin, torch.cat([y, torch.tensor([2])]))
    assert not mixed.separable
    check(mixed, twin, torch.cat([y, torch.tensor([2])]))


def test_iris_is_as_fisher_found_it():
    """Setosa is apart from the others, which overlap: Fisher (1936)."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_iris(return_X_y=True)
    x, y = torch.tensor(x), torch.tensor(y)
    assert [v.separable for v in one_against_rest(x, y)] == [True, False, False]
    verdict = separable(x, y)
    check(verdict, x, y)
    assert not verdict.separable
    assert separable(x[:, :], (y == 0).long() * 2 - 1).margin > 0.3


@pytest.mark.parametrize(("x", "y", "message"), [
    (torch.randn(4, 2), torch.tensor([0.3, 1.2, 0.1, 2.0]), r"targets in \{-1, \+1\} or class numbers; got real ones"),
    (torch.randn(4, 2), torch.tensor([1, -1]), "a target for each sample; got 4 samples and 2 targets"),
    (torch.tensor([[float("nan")], [1.0]]), torch.tensor([1, -1]), "finite inputs"),
])
def test_what_cannot_be_decided_is_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        separable(x, y)


def test_a_programme_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST", 100)
    with pytest.raises(InputError, match=r"linear programme of 40 conditions with 6 numbers each; at most 100 numbers are taken"):
        separable(torch.randn(40, 5), torch.arange(40) % 2 * 2 - 1)
