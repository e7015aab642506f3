"""How often intervals hold the true value, and tests reject where nothing differs, in worlds whose truth is known.

Through the public functions, at 50 to 5,000 cases. The truth of a law is the measure itself on very many cases. The long forms
(`pytest -m slow`) draw 1,000 worlds or more and allow 1.5 per cent, and two standard errors of so many worlds; the short ones see
gross faults.
"""

import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch

from chainrule.evaluate import calibration
from chainrule.evaluate.dose_response import coefficients
from chainrule.evaluate.measures import classification, density, regression
from chainrule.evaluate.significance import Cases, compare

MANY = {True: 10**6, False: 10**5}  # cases, for the long forms and the short ones


def classes(c, sharpness, slope=0.0):
    """A law: labels drawn from softmax(z), and a net that says softmax(sharpness z); `slope` makes later classes rarer."""

    def draw(n, g, **options):
        z = 2 * torch.randn(n, c, generator=g, dtype=torch.float64) - slope * torch.arange(c)
        y = torch.multinomial(z.softmax(1), 1, generator=g).squeeze(1)
        return classification((sharpness * z).softmax(1), y, [str(i) for i in range(c)], **options).measures

    return draw


def numbers(noise):
    """A law: normal targets, predicted with errors of this noise."""

    def draw(n, g, **options):
        y = torch.randn(n, 2, generator=g, dtype=torch.float64)
        return regression(y + 0.6 * noise(n, g), y, **options).measures

    return draw


def likelihoods(n, g, **options):
    """A law: log likelihoods of normal numbers."""
    x = torch.randn(n, generator=g, dtype=torch.float64)
    return density(-0.5 * x.square() - 0.5 * math.log(2 * math.pi), **options).measures


def uniform(n, g):
    return (torch.rand(n, 2, generator=g, dtype=torch.float64) - 0.5) * 12**0.5


def normal(n, g):
    return torch.randn(n, 2, generator=g, dtype=torch.float64)


def laplace(n, g):
    return torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.rand(n, 2, generator=g, dtype=torch.float64).clamp(1e-12, 1 - 1e-12))


LAWS = {
    "two classes": classes(2, 1.0), "too sure of two": classes(2, 2.0), "rare second": classes(2, 1.0, 1.5),
    "three classes": classes(3, 1.0), "too sure of three": classes(3, 1.6, 0.5), "not sure enough": classes(3, 0.6),
    "normal errors": numbers(normal), "uniform errors": numbers(uniform), "laplace errors": numbers(laplace), "likelihoods": likelihoods,
}
GROUPS = {
    "classes": ["two classes", "too sure of two", "rare second", "three classes", "too sure of three", "not sure enough"],
    "numbers": ["normal errors", "uniform errors", "laplace errors"], "likelihoods": ["likelihoods"],
}


@cache
def truth(law, long):
    """Every measure of a law, on very many cases."""
    return {key: m.value for key, m in LAWS[law](MANY[long], torch.Generator().manual_seed(123), intervals=False).items()}


def covered(law, n, worlds, long):
    """In how many of so many worlds each measure's interval holds its true value, and in how many it was defined."""
    g, hits, defined = torch.Generator().manual_seed(n), Counter(), Counter()
    for _ in range(worlds):
        for key, m in LAWS[law](n, g).items():
            hits[key] += m.low <= truth(law, long)[key] <= m.high
            defined[key] += 1
    return hits, defined


def coverage(group, n, worlds, long):
    """The share of worlds covered by each measure's interval, over the laws of a group; measures of one class or target together."""
    hits, defined = Counter(), Counter()
    for law in GROUPS[group]:
        some = covered(law, n, worlds // len(GROUPS[group]), long)
        for total, part in zip((hits, defined), some, strict=True):
            for key, count in part.items():
                total[key.split("[")[0]] += count
    return {key: hits[key] / defined[key] for key in hits}


def within(shares, worlds, allowed):
    """What covers less or more than 95 per cent by more than `allowed` and two standard errors."""
    slack = allowed + 2 * (0.95 * 0.05 / worlds) ** 0.5
    return {key: share for key, share in shares.items() if abs(share - 0.95) > slack}


@pytest.mark.parametrize("group", [name for name in GROUPS if name != "classes"])
def test_intervals_of_50_cases_cover(group):
    shares = coverage(group, 50, 300, long=False)
    assert not within(shares, 300, 0.015), shares


def test_intervals_of_classes_cover_50_cases(monkeypatch):
    monkeypatch.setattr(calibration, "WORLDS", 200)
    shares = coverage("classes", 50, 240, long=False)
    assert not within(shares, 240, 0.015), shares


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 500, 5000])
@pytest.mark.parametrize("group", GROUPS)
def test_every_interval_covers(group, n, monkeypatch):
    """All but the calibration error's, which is simulated and has its own test."""
    monkeypatch.setattr(calibration, "WORLDS", 2)
    shares = coverage(group, n, 1200, long=True)
    shares.pop("ece", None)
    print(group, n, {key: round(100 * share, 1) for key, share in shares.items()})
    assert not within(shares, 1200, 0.015), shares


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 500, 5000])
def test_the_interval_of_the_calibration_error_covers(n):
    """Of nets that are calibrated (an error of nearly 0), too sure, and not sure enough: each by itself, and all together."""
    each = {law: covered(law, n, 100, long=True)[0]["ece"] / 100 for law in GROUPS["classes"]}
    print("ece", n, {law: round(100 * share, 1) for law, share in each.items()}, round(100 * np.mean(list(each.values())), 1))
    assert not within(each, 100, 0.015), each
    assert not within({"all": np.mean(list(each.values()))}, 600, 0.015), each


def pairs(n, g, lead=0.0):
    """Two nets' squared errors on the same cases, half of their errors in common; the first errs less by `lead`, a share."""
    common, own = torch.randn(n, generator=g, dtype=torch.float64), torch.randn(2, n, generator=g, dtype=torch.float64)
    return ((common + own) / 2**0.5 * torch.tensor([[(1 - lead) ** 0.5], [1.0]])).square()


def rights(n, g, error=(0.15, 0.15)):
    """Whether each of two nets is right on the same cases, some of which are hard for both."""
    hard = torch.rand(n, generator=g) < 0.5
    return [torch.rand(n, generator=g) >= torch.where(hard, 1.5 * e, 0.5 * e) for e in error]


def verdicts(n, worlds, nets, draw):
    """The share of worlds in which any pair of `nets` is told apart."""
    g, rows, apart = torch.Generator().manual_seed(n), torch.arange(n), 0
    for _ in range(worlds):
        comparison = compare([str(i) for i in range(nets)], draw(n, g, rows))
        apart += any("is better" in pair.verdict for pair in comparison.pairs)
    return apart / worlds


def real_nets(count):
    def draw(n, g, rows):
        several = [pairs(n, g) for _ in range((count + 1) // 2)]
        return [Cases(rows, "f", costs=e) for e in torch.cat(several)[:count]]

    return draw


def counting_nets(count):
    return lambda n, g, rows: [Cases(rows, "f", right=r) for r in rights(n, g, (0.15,) * count)]


NULLS = {"signs": (2, real_nets(2)), "signs of three nets": (3, real_nets(3)), "mcnemar": (2, counting_nets(2)),
         "mcnemar of three nets": (3, counting_nets(3))}


@pytest.mark.parametrize("test", NULLS)
def test_nets_that_do_not_differ_are_seldom_told_apart(test):
    assert verdicts(10, 200, *NULLS[test]) <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 10, 50, 500])
@pytest.mark.parametrize("test", NULLS)
def test_every_comparison_rejects_at_most_one_null_world_in_twenty(test, n):
    share = verdicts(n, 1000, *NULLS[test])
    print(test, n, round(100 * share, 1))
    assert share <= 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5               # three standard errors: sixteen such tests are made


def differences(n, worlds, kind):
    """The share of worlds in which the interval of a difference holds the true one; nets differ by up to a third."""
    g, rows, hits = torch.Generator().manual_seed(n), torch.arange(n), 0
    for _ in range(worlds):
        lead = float(torch.rand(1, generator=g)) / 3
        if kind == "squared errors":
            cases, true = [Cases(rows, "f", costs=e) for e in pairs(n, g, lead)], -lead
        else:
            cases, true = [Cases(rows, "f", right=r) for r in rights(n, g, (0.3 * (1 - lead), 0.3))], -0.3 * lead
        d = compare(["a", "b"], cases).pairs[0].difference
        hits += d.low <= true <= d.high
    return hits / worlds


@pytest.mark.parametrize("kind", ["squared errors", "errors"])
def test_intervals_of_differences_cover_50_cases(kind):
    share = differences(50, 200, kind)
    assert not within({kind: share}, 200, 0.015), share


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 500, 5000])
@pytest.mark.parametrize("kind", ["squared errors", "errors"])
def test_every_interval_of_a_difference_covers(kind, n):
    worlds = 1000 if n < 5000 or kind == "errors" else 300
    share = differences(n, worlds, kind)
    print(kind, n, round(100 * share, 1))
    assert not within({kind: share}, worlds, 0.015), share


def slopes(n, worlds):
    """The shares of worlds in which a logistic slope's interval holds it, and in which a slope of 0 is called one."""
    from sklearn.linear_model import LogisticRegression

    random, hits, rejected, fitted = np.random.default_rng(n), 0, 0, 0
    for _ in range(worlds):
        x = random.normal(size=(n, 2))
        y = random.random(n) < 1 / (1 + np.exp(-x[:, 0]))
        if not 5 <= y.sum() <= n - 5:
            continue
        model = LogisticRegression(C=np.inf, tol=1e-8).fit(x, y)
        lines = coefficients(torch.from_numpy(x), torch.from_numpy(model.coef_), float(model.intercept_[0]), ["a", "b"])
        hits += lines[0].interval.low <= 1 <= lines[0].interval.high
        rejected += lines[1].p < 0.05
        fitted += 1
    return hits / fitted, rejected / fitted


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 500, 5000])
def test_the_interval_of_a_logistic_slope_covers_and_its_test_rejects_seldom(n):
    share, rejected = slopes(n, 1000)
    print("slope", n, round(100 * share, 1), round(100 * rejected, 1))
    assert not within({"slope": share}, 1000, 0.015), share
    assert rejected <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5
