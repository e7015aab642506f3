"""Intervals against statsmodels, scipy, enumeration of all outcomes, and each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit
from statsmodels.stats.proportion import proportion_confint

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import clopper_pearson, influences, of_area, of_combined, of_mean, wilson
from chainrule.evaluate.measures import classification

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


def test_without_skewness_the_interval_of_a_mean_is_students():
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]) + 7
    low, high = stats.t.interval(0.9, 4, 7, float(x.std()) / 5**0.5)
    ends = of_mean(x, 0.9)
    assert (ends.low, ends.high) == pytest.approx((low, high))


def test_a_skewed_mean_is_where_halls_transformation_reaches_students_t():
    """Second derivation: his polynomial itself, at the ends found."""
    x = torch.linspace(0.01, 3, 40, dtype=torch.float64).exp()
    n, mean, deviation = len(x), float(x.mean()), float(x.std())
    skewness = float(stats.skew(x.numpy()))
    ends = of_mean(x)
    for end, sign in ((ends.low, 1), (ends.high, -1)):
        t = n**0.5 * (mean - end) / deviation
        moved = t + skewness * t**2 / (3 * n**0.5) + skewness**2 * t**3 / (27 * n) + skewness / (6 * n**0.5)
        assert moved == pytest.approx(sign * stats.t.ppf(0.975, n - 1))
    assert ends.high - mean > mean - ends.low                            # longer where the tail is


def test_the_interval_of_a_skewed_mean_covers_where_students_does_not():
    """Squares of normal numbers, 50 at a time: 95 of 100 instead of 92; their skewness is 2.8."""
    x = torch.randn(1500, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    covered = np.mean([ends.low <= 1 <= ends.high for ends in map(of_mean, x)])
    half = stats.t.ppf(0.975, 49) * x.std(1) / 50**0.5
    assert float(((x.mean(1) - 1).abs() <= half).double().mean()) < 0.935
    assert 0.93 <= covered <= 0.965


def test_influences_are_what_one_more_of_a_case_does():
    """By finite differences; and of a mean, the deviation from it."""
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(30, generator=g, dtype=torch.float64), torch.randn(30, generator=g, dtype=torch.float64)

    def statistics(w):
        n = w.sum(0)
        mean, other = x @ w / n, y @ w / n
        return torch.stack([mean, (x * y) @ w / n - mean * other])

    values, found = influences(statistics, 30)
    torch.testing.assert_close(found[0], x - x.mean())
    assert float(values[1]) == pytest.approx(float(((x - x.mean()) * (y - y.mean())).mean()))
    ones = torch.ones(30, 1, dtype=torch.float64)
    for i in (0, 7, 29):
        more = ones.clone()
        more[i] += 1e-6
        change = (statistics(more) - statistics(ones)).squeeze(1) * 30 / 1e-6
        torch.testing.assert_close(found[:, i], change, rtol=1e-4, atol=1e-4)


def test_one_share_among_classes_is_wilsons():
    """Of one class with so many cases that the degrees of freedom do not matter; and of none wrong, at any size."""
    k, n = 61_000, 100_000
    p = k / n
    one = of_combined(p, torch.tensor([p * (1 - p) / n], dtype=torch.float64), torch.tensor([n - 1.0]), n)
    assert (one.low, one.high) == pytest.approx((wilson(k, n).low, wilson(k, n).high), rel=1e-6)
    assert of_combined(1.0, torch.zeros(2), torch.ones(2), 12) == wilson(12, 12)


def test_an_area_without_a_mistake_is_a_share_of_the_rarer_cases():
    assert of_area(1.0, torch.zeros(60), 7) == wilson(7, 7)


def test_the_error_of_an_area_is_delongs():
    """DeLong, DeLong & Clarke-Pearson (1988): the variances of the placements of positives and of negatives."""
    g = torch.Generator().manual_seed(2)
    positive = torch.rand(80, generator=g) < 0.4
    score = torch.randn(80, generator=g, dtype=torch.float64) + positive
    above = (score[positive][:, None] > score[~positive][None]).double()
    m, n, area = int(positive.sum()), int((~positive).sum()), float(above.mean())
    variance = float(above.mean(1).var(correction=0)) / m + float(above.mean(0).var(correction=0)) / n
    measure = classification(torch.stack([-score, score], 1).sigmoid(), positive.long(), ["no", "yes"]).measures["roc_auc"]
    half = stats.t.ppf(0.975, 79) * (variance * 80 / 79) ** 0.5 / (area * (1 - area))
    assert measure.value == pytest.approx(area)
    assert (measure.low, measure.high) == pytest.approx(tuple(expit(np.log(area / (1 - area)) + np.array([-half, half]))), rel=1e-9)


@pytest.mark.parametrize(("k", "n", "level"), [(3, 2, 0.95), (-1, 5, 0.95), (0, 0, 0.95), (1, 2, 95.0)])
def test_counts_that_are_none_are_refused(k, n, level):
    for method in METHODS:
        with pytest.raises(InputError):
            method(k, n, level)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one"):
        of_mean(torch.empty(0))
    with pytest.raises(InputError, match="between 0 and 1"):
        of_mean(torch.rand(5), 95.0)
