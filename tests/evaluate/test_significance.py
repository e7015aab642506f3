"""Tests of differences against the published tables, statsmodels, enumeration and simulation."""

import json
import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as oracle
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from chainrule.core.errors import InputError
from chainrule.evaluate.significance import Cases, compare, holm, mcnemar, p_value, paired_difference, paired_flips, probability


def cases(both_wrong, a_only, b_only, both_right):
    """Two nets' outcomes with these counts, on rows 0, 1, ..."""
    a = [False] * both_wrong + [False] * a_only + [True] * b_only + [True] * both_right
    b = [False] * both_wrong + [True] * a_only + [False] * b_only + [True] * both_right
    rows = torch.arange(len(a))
    return [Cases(rows, "print", right=torch.tensor(v)) for v in (a, b)]


@pytest.mark.parametrize(("table", "p"), [((29, 1, 11, 9959), 0.0063), ((15, 15, 25, 9945), 0.154)])
def test_the_same_thirty_against_forty_errors(table, p):
    """CANON A6: one significant, one not."""
    comparison = compare(["a", "b"], cases(*table))
    pair = comparison.pairs[0]
    assert comparison.scores == (30, 40)
    assert (pair.both_wrong, pair.a_only_wrong, pair.b_only_wrong, pair.both_right) == table
    assert pair.p == pytest.approx(p, abs=0.0005 if p > 0.1 else 0.00005)
    better = "a is better than b: 30 against 40 errors on the same 10,000 cases"
    assert pair.verdict.startswith(better if p < 0.05 else "No difference is shown:")
    assert (pair.difference.low <= 0 <= pair.difference.high) == (p > 0.05)


def test_mcnemar_agrees_with_statsmodels_and_with_counting_coins():
    for b, c in product(range(0, 14, 2), range(0, 14, 3)):
        assert mcnemar(b, c) == pytest.approx(oracle([[3, b], [c, 9]], exact=True).pvalue if b + c else 1.0, abs=1e-12)
    b, c = 2, 9
    extreme = sum(math.comb(b + c, k) for k in range(b + c + 1) if abs(2 * k - b - c) >= abs(b - c))
    assert mcnemar(b, c) == pytest.approx(extreme / 2 ** (b + c), abs=1e-15)


@pytest.mark.parametrize("errors", [1000, 1080, 3000])
def test_a_p_that_a_float_does_not_hold_is_printed_as_a_bound(errors):
    """All errors on one side: p is 2 ** (1 - errors), less than 1e-300 in each case and nothing to a float from 1076 on."""
    comparison = compare(["a", "b", "c"], [*cases(3, 0, errors, 7), cases(3, errors, 0, 7)[1]])
    pair = comparison.pairs[0]
    assert pair.p == pytest.approx(2.0 ** (1 - errors), rel=1e-9, abs=0)
    assert json.loads(comparison.to_json())["pairs"][0]["p"] == pair.p
    assert "cases, p < 1e-300 (exact McNemar" in pair.verdict
    assert comparison.paired()[1][-2:] == ["< 1e-300", "< 1e-300"]
    assert (probability(1.5e-299), p_value(1.5e-299)) == ("1.5e-299", "p = 1.5e-299")


def test_holm_agrees_with_statsmodels():
    random = np.random.default_rng(0)
    for m in (1, 2, 5, 12):
        p = random.random(m) ** 3
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist(), abs=1e-12)


def test_newcombe_without_correlation_is_the_interval_of_independent_shares():
    """Method 10 with phi = 0 is his interval for two samples, which statsmodels has."""
    a_only, b_only, both, neither = 12, 8, 6, 17                         # 0 <= 6 * 17 - 12 * 8 <= n / 2
    ours = paired_difference(a_only, b_only, both, neither)
    low, high = confint_proportions_2indep(18, 43, 14, 43, method="newcomb", compare="diff")
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("chance", [(0.05, 0.1, 0.1, 0.75), (0.3, 0.05, 0.15, 0.5), (0.02, 0.02, 0.2, 0.76)])
def test_the_interval_of_a_paired_difference_covers(chance):
    """By enumeration of all tables of 14 cases."""
    n, covered = 14, 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            for c in range(n + 1 - a - b):
                ends = paired_difference(b, c, a, n - a - b - c)
                weight = stats.multinomial.pmf([a, b, c, n - a - b - c], n, chance)
                covered += weight * (ends.low <= chance[1] - chance[2] <= ends.high)
    assert 0.93 <= covered <= 1


def by_enumeration(d):
    """All 2^n signs, one at a time: the share whose mean is as far from zero."""
    means = [abs(sum(s * v for s, v in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))]
    return sum(m >= abs(sum(d)) - 1e-12 for m in means) / len(means)


@pytest.mark.parametrize("n", [2, 5, 6, 9])
def test_the_p_of_few_cases_is_that_of_all_signs(n):
    """Also against scipy's permutation of pairs, which is the same test."""
    g = torch.Generator().manual_seed(n)
    a, b = torch.rand(n, generator=g).double(), torch.rand(n, generator=g).double() + 0.3
    d = (a - b).tolist()
    _, p = paired_flips(a, b)
    assert p == pytest.approx(by_enumeration(d))
    theirs = stats.permutation_test((a.numpy(), b.numpy()), lambda x, y: abs((x - y).mean()), permutation_type="samples",
                                    alternative="greater", n_resamples=np.inf)
    assert p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("n", [8, 60])
def test_the_interval_holds_just_the_differences_that_the_test_does_not_reject(n):
    """The test itself, at differences within and beyond each end, with the same signs."""
    g = torch.Generator().manual_seed(n)
    a, b = torch.randn(n, generator=g).double().square(), torch.randn(n, generator=g).double().square() + 0.4
    difference, _ = paired_flips(a, b)
    width = difference.high - difference.low
    for end, outwards in ((difference.low, -1), (difference.high, 1)):
        assert paired_flips(a - (end + 0.001 * outwards * width), b)[1] < 0.05
        assert paired_flips(a - (end - 0.001 * outwards * width), b)[1] >= 0.05


@pytest.mark.parametrize("n", [3, 5])
def test_the_interval_of_very_few_cases_states_its_own_level(n):
    """All on one side, so only one set of signs in 2^(n - 1) is as far off; 95 % would need the whole line."""
    d = torch.arange(1.0, n + 1)
    difference, p = paired_flips(d, torch.zeros(n))
    assert p == 2.0 ** (1 - n)
    assert (difference.low, difference.high, difference.level) == (1.0, n, 1 - 2.0 ** (1 - n))
    comparison = compare(["a", "b"], [Cases(torch.arange(n), "f", costs=e) for e in (d, torch.zeros(n))])
    assert comparison.pairs[0].verdict.endswith(f"The interval is one of {100 * difference.level:g} %; so few cases say no more.")
    assert f"({100 * difference.level:g} %)" in str(comparison)


@pytest.mark.parametrize("n", [5, 8, 10, 20])
def test_nets_that_do_not_differ_are_told_apart_in_one_comparison_of_twenty(n):
    """Through `compare`: squares of errors of the same law; the bootstrap rejected 10 to 13 % of ten cases."""
    g, rejected, worlds = torch.Generator().manual_seed(n), 0, 400
    for _ in range(worlds):
        errors = torch.randn(2, n, generator=g).square()
        pair = compare(["a", "b"], [Cases(torch.arange(n), "f", costs=e) for e in errors]).pairs[0]
        rejected += "is better" in pair.verdict
        assert ("is better" in pair.verdict) == (not pair.difference.low <= 0 <= pair.difference.high) or n < 6
    assert rejected / worlds <= 0.05 + 2.6 * (0.05 * 0.95 / worlds) ** 0.5


def test_where_interval_and_verdict_differ_the_verdict_says_why():
    """Newcombe's interval of 0 against 5 leaves out zero, the exact test has p = .0625; three pairs need a smaller p than one."""
    pair = compare(["a", "b"], cases(5, 0, 5, 40)).pairs[0]
    assert pair.p == pytest.approx(0.0625)
    assert pair.difference.high < 0
    assert pair.verdict.endswith("The interval, which is approximate, leaves out zero, but only just; the exact test decides.")
    a, b = cases(0, 1, 8, 91)
    comparison = compare(["a", "b", "c"], [a, b, Cases(a.rows, "print", right=torch.arange(100) >= 4)])
    assert comparison.pairs[0].verdict.endswith("among 3 pairs that is not enough.")


def test_paired_flips_agree_with_the_paired_t_test():
    g = torch.Generator().manual_seed(0)
    a = torch.rand(400, generator=g, dtype=torch.float64)
    for shift in (0.0, 0.02, 0.03):
        b = a + 0.3 * torch.randn(400, generator=g, dtype=torch.float64) + shift
        difference, p = paired_flips(a, b)
        t = stats.ttest_rel(a.numpy(), b.numpy())
        ends = t.confidence_interval()
        assert p == pytest.approx(t.pvalue, abs=0.02)
        assert difference.value == pytest.approx(float((a - b).mean()))
        assert (difference.low, difference.high) == pytest.approx((ends.low, ends.high), abs=0.1 * (ends.high - ends.low))


def test_two_cases_cannot_show_a_difference():
    _, p = paired_flips(torch.tensor([0.1, 0.1]), torch.tensor([0.5, 0.5]))
    assert p == pytest.approx(0.5)
    assert paired_flips(torch.ones(5), torch.ones(5))[1] == 1
    comparison = compare(["a", "b"], cases(0, 0, 2, 0))
    assert comparison.pairs[0].p == pytest.approx(0.5)
    assert comparison.pairs[0].verdict.startswith("No difference is shown")


def test_three_nets_are_three_corrected_pairs():
    g = torch.Generator().manual_seed(1)
    rows = torch.randperm(2000, generator=g)
    rights = [torch.rand(2000, generator=g) > e for e in (0.08, 0.02, 0.02)]
    comparison = compare(["softmax", "lenet", "again"], [Cases(rows, "f", right=r) for r in rights])
    assert [(q.a, q.b) for q in comparison.pairs] == [("softmax", "lenet"), ("softmax", "again"), ("lenet", "again")]
    assert [q.p_corrected for q in comparison.pairs] == pytest.approx(holm([q.p for q in comparison.pairs]))
    wrong = [int((~r).sum()) for r in rights]
    verdict = comparison.pairs[0].verdict
    assert verdict.startswith(f"lenet is better than softmax: {wrong[1]} against {wrong[0]} errors on the same 2,000 cases, p = ")
    assert verdict.endswith("(exact McNemar, Holm-corrected over 3 pairs).")
    assert comparison.pairs[2].verdict.startswith("No difference is shown: ")
    keys = {"a", "b", "a_only_wrong", "b_only_wrong", "both_wrong", "both_right", "difference", "p", "p_corrected", "verdict"}
    assert set(json.loads(comparison.to_json())["pairs"][0]) == keys
    assert all(q.verdict in str(comparison) for q in comparison.pairs)


def test_the_verdict_uses_the_corrected_p():
    """One pair of p = 0.039 is significant alone and not among three."""
    a, b = cases(0, 1, 8, 91)
    assert "is better" in compare(["a", "b"], [a, b]).pairs[0].verdict
    third = Cases(a.rows, "print", right=torch.arange(100) >= 4)
    comparison = compare(["a", "b", "c"], [a, b, third])
    assert comparison.pairs[0].p < 0.05 < comparison.pairs[0].p_corrected
    assert comparison.pairs[0].verdict.startswith("No difference is shown")


def test_the_order_of_rows_does_not_matter():
    a, b = cases(3, 4, 11, 40)
    order = torch.randperm(58, generator=torch.Generator().manual_seed(0))
    shuffled = Cases(b.rows[order], "print", right=b.right[order])
    assert compare(["a", "b"], [a, shuffled]) == compare(["a", "b"], [a, b])


def test_regression_is_compared_by_squared_errors():
    g = torch.Generator().manual_seed(0)
    noise, rows = torch.randn(300, generator=g), torch.arange(300)
    comparison = compare(["linear", "mlp"], [Cases(rows, "f", costs=(noise * s).square()) for s in (1.0, 0.8)])
    pair = comparison.pairs[0]
    assert pair.a_only_wrong is None
    assert pair.difference.value == pytest.approx(float(noise.square().double().mean()) * 0.36, rel=1e-5)
    assert pair.verdict.startswith("mlp is better than linear: a mean squared error of ")
    assert "paired sign flips" in str(comparison)


def test_different_cases_are_refused():
    a, b = cases(1, 1, 1, 7)
    with pytest.raises(InputError, match="other data, or other rows held out"):
        compare(["a", "b"], [a, Cases(b.rows, "another", right=b.right)])
    with pytest.raises(InputError, match="other rows"):
        compare(["a", "b"], [a, Cases(b.rows + 1, "print", right=b.right)])
    with pytest.raises(InputError, match="mix errors and mean squared error"):
        compare(["a", "b"], [a, Cases(b.rows, "print", costs=torch.ones(10))])
    with pytest.raises(InputError, match="at least two"):
        compare(["a"], [a])
