"""Calibration against planted truths and scipy's minimiser."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import ece, reliability, temperature


def planted(n, hot, seed=0):
    """Logits that are `hot` times too large for the labels drawn from them."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 5, generator=g, dtype=torch.float64) * 2
    return z * hot, torch.multinomial(z.softmax(1), 1, generator=g).squeeze(1)


@pytest.mark.parametrize("hot", [0.4, 1.0, 3.0])
def test_a_planted_temperature_is_recovered(hot):
    z, y = planted(20000, hot)
    assert temperature(z, y) == pytest.approx(hot, rel=0.03)


def test_it_is_the_minimum_that_scipy_finds():
    z, y = planted(300, 2.5, seed=1)
    best = minimize_scalar(lambda t: float(F.cross_entropy(z / t, y)), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert temperature(z.float(), y) == pytest.approx(best.x, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), hot=st.floats(0.1, 10), n=st.integers(2, 40))
def test_it_never_changes_a_prediction_nor_worsens_the_loss(seed, hot, n):
    z, y = planted(n, hot, seed)
    t = temperature(z, y)
    assert 0.01 <= t <= 100
    assert torch.equal((z / t).argmax(1), z.argmax(1))
    assert float(F.cross_entropy(z / t, y)) <= float(F.cross_entropy(z, y)) + 1e-9


def test_without_a_minimum_the_nearer_end_is_returned():
    sure = torch.eye(3)[[0, 1, 2, 0]] * 4
    assert temperature(sure, torch.tensor([0, 1, 2, 0])) == 0.01         # every case right: the surer the better
    assert temperature(-sure, torch.tensor([0, 1, 2, 0])) == 100.0       # every case wrong: the less sure the better


def test_scaling_mends_the_calibration_error():
    z, y = planted(5000, 4.0)
    assert ece((z / temperature(z, y)).softmax(1), y) < 0.25 * ece(z.softmax(1), y)


def test_bins_hold_every_case_once_and_average_to_the_error():
    z, y = planted(1000, 2.0)
    p = z.softmax(1)
    bins = reliability(p, y, bins=10)
    assert sum(b.count for b in bins) == 1000
    for b in bins:
        assert b.low < b.confidence <= b.high
        assert b.interval.low <= b.accuracy <= b.interval.high
    assert sum(b.count * b.accuracy for b in bins) == pytest.approx(int((p.argmax(1) == y).sum()))
    assert sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / 1000 == pytest.approx(ece(p, y, bins=10), abs=1e-12)


def test_a_case_by_hand():
    """Two cases at 0.9, one right, and two at 0.6, both right: (2 * 0.4 + 2 * 0.4) / 4."""
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], dtype=torch.float64)
    assert math.isclose(ece(p, torch.tensor([0, 1, 1, 1])), 0.4)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    found = reliability(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([0, 1]), bins=10)
    assert [(b.low, b.high) for b in found] == [(0.4, 0.5), (0.9, 1.0)]


def test_shapes_are_checked():
    with pytest.raises(InputError, match="logits"):
        temperature(torch.rand(3), torch.tensor([0, 1, 1]))
    with pytest.raises(InputError, match="one row"):
        ece(torch.rand(3, 2), torch.tensor([0, 1]))
