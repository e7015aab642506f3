"""Redundant columns planted and found; permutation importance against its closed form for a linear model; twins against loops."""

import math

import pytest
import torch

from chainrule.audit.duplicates import NEAREST, exact, keys, near, within
from chainrule.audit.redundancy import importances, permutation_importance, redundant, skill_alone


def columns(n=200, d=4, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_constant_alike_and_dependent_columns_are_named():
    a = columns()
    x = torch.cat([a, torch.full((200, 1), 3.0), -2 * a[:, :1] + 1, (3 * a[:, 1] - 2 * a[:, 2] + 5)[:, None]], 1)
    found = redundant(x)
    assert found.constant == [4]
    assert [(i, j) for i, j, _ in found.alike] == [(0, 5)]
    assert found.alike[0][2] == pytest.approx(-1)
    (column, terms, coefficients), = found.dependent
    assert {column, *terms} == {1, 2, 6}
    rebuilt = sum(c * x[:, t] for t, c in zip(terms, coefficients, strict=True))
    assert float((x[:, column] - rebuilt).std()) < 1e-9                             # but for a constant


def test_independent_columns_are_left_alone():
    x = columns(500, 6)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]                                               # correlation .995
    found = redundant(x)
    assert (found.constant, found.alike, found.dependent) == ([], [], [])


def test_permutation_of_a_linear_model_costs_twice_the_weighted_variance():
    """Breiman's importance of column j under squared error is 2 w_j^2 var(x_j) in expectation, for independent columns."""
    x, w = columns(20_000, 3), torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)
    y = x @ w
    rises = permutation_importance(lambda rows: (rows @ w - y).square(), x, [[0], [1], [2], [0, 2]], repeats=3)
    found = importances(rises)
    for i, expected in zip(found, (8.0, 0.0, 2.0, 10.0), strict=True):
        assert i.mean == pytest.approx(expected, rel=0.05, abs=1e-9)
        assert i.low <= expected * 1.02 + 1e-9
        assert i.high >= expected * 0.98 - 1e-9
    half = (found[0].high - found[0].low) / 2
    assert half == pytest.approx(1.96 * float(rises[:, 0].std()) / math.sqrt(20_000))


def test_skill_alone():
    x = columns(600, 3)
    folds = list(torch.arange(600).split(200))
    y = (x[:, 0] > 0).long()
    skills = skill_alone(x, y, folds, [[0], [1], [2]], classes=2)
    assert skills[0] > 0.97
    assert max(skills[1:]) < 0.3
    real = 3 * x[:, 1:2] - 7
    skills = skill_alone(x, real, folds, [[0], [1]], classes=0)
    assert skills[1] == pytest.approx(1.0)                                          # a straight line
    assert skills[0] < 0.05


def test_exact_twins_by_loops():
    a, b = torch.tensor([[0.0, 1], [2, 3], [0, 1]]), torch.tensor([[2.0, 3], [-0.0, 1], [9, 9]])
    pairs = exact(keys(a), keys(b)).tolist()
    assert pairs == [[1, 0], [0, 1]]                                                # -0 is 0
    assert within(keys(a)) == [[0, 2]]


def test_near_twins_are_found_and_chance_is_not():
    x = columns(400, 5)
    fresh = columns(200, 5, seed=1)
    assert len(near(x, fresh).pairs) == 0
    fresh[7] = x[33] + 1e-3
    fresh[8] = x[2]                                                                 # equal: not near
    found = near(x, fresh)
    assert found.pairs.tolist() == [[33, 7]]
    assert (found.threshold > 0).all()
    assert (found.threshold <= NEAREST * found.usual).all()


def test_on_a_line_the_threshold_is_what_chance_gives():
    """In one dimension neighbours are near by nature: at most about a thousandth of fresh rows may be called so."""
    g = torch.Generator().manual_seed(0)
    x, fresh = torch.rand(4000, 1, generator=g, dtype=torch.float64), torch.rand(4000, 1, generator=g, dtype=torch.float64)
    fresh[5] = x[17] + 1e-12
    found = near(x, fresh)
    assert [17, 5] in found.pairs.tolist()
    assert (found.threshold < 0.01 * found.usual).all()
    assert len(found.pairs) < 25
