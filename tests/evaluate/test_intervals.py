"""Intervals against statsmodels, scipy, enumeration of all outcomes, and each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from chainrule.core.errors import InputError
from chainrule.evaluate import intervals
from chainrule.evaluate.intervals import bootstrap, bootstrap_weighted, clopper_pearson, enough_repeats, spread, wilson

METHODS = {wilson: "wilson", clopper_pearson: "beta"}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_shares_agree_with_statsmodels(method, data):
    n = data.draw(st.integers(1, 20000))
    k = data.draw(st.integers(0, n))
    level = data.draw(st.sampled_from([0.8, 0.95, 0.99]))
    ours = method(k, n, level)
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(k, n, 1 - level, METHODS[method]), abs=1e-9)
    assert 0 <= ours.low <= k / n <= ours.high <= 1


def test_clopper_pearson_covers_at_least_its_level_and_wilson_on_average():
    """Second derivation: the definition of coverage, by enumeration of all 21 outcomes at 50 true shares."""
    n, shares = 20, np.linspace(0.01, 0.99, 50)
    chance = stats.binom.pmf(np.arange(n + 1)[:, None], n, shares)       # (21, 50)
    coverage = {}
    for method in METHODS:
        ends = [method(k, n) for k in range(n + 1)]
        inside = np.array([[e.low <= p <= e.high for p in shares] for e in ends])
        coverage[method] = (chance * inside).sum(0)
    assert coverage[clopper_pearson].min() >= 0.95
    assert abs(coverage[wilson].mean() - 0.95) < 0.01


def test_bootstrap_agrees_with_scipy():
    """Both are Monte Carlo: the ends agree to a fraction of the interval's width."""
    x = torch.from_numpy(np.random.default_rng(3).exponential(2.0, 400))
    ours = bootstrap(lambda v: v.std(1), x, repeats=4000)
    theirs = stats.bootstrap((x.numpy(),), lambda v, axis: v.std(axis, ddof=1), method="percentile", n_resamples=4000, rng=5)
    theirs = theirs.confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.06 * width
    assert abs(ours.high - theirs.high) < 0.06 * width


def test_bootstrap_of_a_mean_is_the_normal_interval():
    x = torch.randn(10000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = bootstrap(lambda v: v.mean(1), x)
    half = 1.959964 * float(x.std()) / 100
    assert (ends.low, ends.high) == pytest.approx((float(x.mean()) - half, float(x.mean()) + half), abs=0.1 * half)


def test_weighted_and_plain_bootstrap_draw_the_same_resamples(monkeypatch):
    """Two ways to one statistic: rows taken, and rows counted; and batches do not change what is drawn."""
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(57, generator=g, dtype=torch.float64), torch.randn(57, generator=g, dtype=torch.float64)
    whole = bootstrap(lambda a, b: (a * b).mean(1), x, y, seed=7, repeats=300)
    monkeypatch.setattr(intervals, "BATCH_NUMBERS", 57 * 11)
    counted = bootstrap_weighted(lambda w: ((x * y) @ w.double() / 57)[None], 57, seed=7, repeats=300)
    assert (whole.low, whole.high) == pytest.approx(spread(counted[0], 0.95), rel=1e-12)
    assert bootstrap(lambda a, b: (a * b).mean(1), x, y, seed=7, repeats=300) == whole
    assert bootstrap(lambda a, b: (a * b).mean(1), x, y, seed=8, repeats=300) != whole


def test_every_row_is_drawn_once_on_average():
    """Counts of a resample are multinomial: they add up to n, have mean 1 and variance 1 - 1/n."""
    w = bootstrap_weighted(lambda w: w, 5, repeats=20000).double()       # (5, repeats)
    assert (w.sum(0) == 5).all()
    torch.testing.assert_close(w.mean(1), torch.ones(5, dtype=torch.float64), atol=0.03, rtol=0)
    torch.testing.assert_close(w.var(1), torch.full((5,), 0.8, dtype=torch.float64), atol=0.04, rtol=0)


def test_undefined_resamples_are_left_out():
    low, high = spread(torch.tensor([float("nan"), 1.0, 2.0, 3.0]), 0.5)
    assert (low, high) == (1.5, 2.5)
    with pytest.raises(InputError, match="defined on some resample"):
        spread(torch.full((4,), float("nan")), 0.95)


def test_fewer_resamples_of_huge_sets():
    assert enough_repeats(10_000) == 2000
    assert enough_repeats(10**6) == 1000
    assert enough_repeats(10**9) == 200


@pytest.mark.parametrize(("k", "n", "level"), [(3, 2, 0.95), (-1, 5, 0.95), (0, 0, 0.95), (1, 2, 95.0)])
def test_counts_that_are_none_are_refused(k, n, level):
    for method in METHODS:
        with pytest.raises(InputError):
            method(k, n, level)


def test_arrays_of_unequal_length_are_refused():
    with pytest.raises(InputError, match=r"lengths \[2, 3\]"):
        bootstrap(lambda a, b: a.mean(1), torch.zeros(2), torch.zeros(3))
