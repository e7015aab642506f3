"""Whether one net is really better than another on the same cases.

Exact McNemar test: McNemar (1947), https://doi.org/10.1007/BF02295996; interval of the paired difference: Newcombe (1998), method 10,
https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C; several pairs: Holm (1979), https://www.jstor.org/stable/4615733;
signs turned: Fisher (1935), The design of experiments, section 21; the interval of that test: Hartigan (1969), https://doi.org/10.1080/01621459.1969.10501057
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.text import shown, table
from chainrule.evaluate.blocks import block_means
from chainrule.evaluate.intervals import Interval, wilson
from chainrule.evaluate.quantiles import at_most_heads

SETS, LEAST_SETS = 9999, 999    # of signs, drawn for a test of many cases, and at the least for very many
ERRORS, SQUARED = "errors", "mean squared error"
TESTS = {True: "exact McNemar", False: "paired sign flips"}     # where errors are counted, and where they are measured
ENUMERATED = 14                 # cases of which all sets of signs are gone through
MOST_NUMBERS = 10**9            # signs drawn in all; beyond it there are fewer sets
BATCH_NUMBERS = 2**22           # of them in memory at once
LEAST_P = 1e-300                # a p below it may have been rounded, to nothing even, and is stated as this bound


@dataclass(frozen=True)
class Cases:
    """What one net did on each test case: `right` (n,) booleans, or `costs` (n,), which are better when lower and whose mean is `measure`.

    `rows` (n,) are row numbers in the source whose content has `fingerprint`: two nets can be compared only on the same. So many
    neighbours as `block` says depend on one another, as forecasts of overlapping steps do, and count as one case in a test.
    """

    rows: Tensor
    fingerprint: str
    right: Tensor | None = None
    costs: Tensor | None = None
    measure: str = SQUARED
    block: int = 1


def squared_costs(predictions: Tensor, y: Tensor) -> tuple[Tensor, str]:
    """What each case costs (n,), of predictions and targets (n, k), and what the mean of that is called: the mean squared error.

    Squared errors of several targets, whose units may differ, are divided by the variance of their target on these cases, so that their
    mean is the share of variance left unexplained, 1 - r2; a target without variance has none.
    """
    squared = (predictions.double() - y.double()).square()               # (n, k)
    if y.shape[1] == 1:
        return squared.mean(1), SQUARED
    variance = y.double().var(0, correction=0)
    return (squared[:, variance > 0] / variance[variance > 0]).mean(1), "share of unexplained variance"


@dataclass(frozen=True)
class Difference:
    """`a` less `b`: of shares of errors, or of mean costs; negative where `a` is better."""

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Pair:
    """Two nets on the same cases. The four counts are None where costs are compared; `p_corrected` is Holm's over all pairs."""

    a: str
    b: str
    a_only_wrong: int | None
    b_only_wrong: int | None
    both_wrong: int | None
    both_right: int | None
    difference: Difference
    p: float
    p_corrected: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """All pairs of `names`; `scores` are their errors (counts) or mean costs on the `n` common cases."""

    names: tuple[str, ...]
    n: int
    measure: str
    scores: tuple[float, ...]
    test: str
    pairs: tuple[Pair, ...]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @property
    def counted(self) -> bool:
        """Whether the scores are counts of errors."""
        return self.measure == ERRORS

    def shares(self) -> list[Interval]:
        """The interval of each net's share of errors, where errors are counted."""
        return [wilson(round(score), self.n) for score in self.scores] if self.counted else []

    def scored(self) -> list[list[str]]:
        """A line of heads, then one a net: what it got wrong."""
        if not self.counted:
            return [["net", self.measure], *([name, shown(score)] for name, score in zip(self.names, self.scores, strict=True))]
        return [["net", "errors", "share", "95 % interval"],
                *([name, f"{score:,.0f}", f"{shown(score / self.n, True)} %", f"{shown(ends.low, True)} to {shown(ends.high, True)} %"]
                  for name, score, ends in zip(self.names, self.scores, self.shares(), strict=True))]

    def paired(self) -> list[list[str]]:
        """A line of heads, then one a pair: the cases only one of them got wrong, the difference with its interval, probabilities."""
        unit = 100 if self.counted else 1
        apart = ["only a wrong", "only b wrong", "both wrong", "a - b %"] if self.counted else ["a - b"]
        lines = [["a", "b", *apart, "95 % interval", "p", "p corrected"]]
        for q in self.pairs:
            counts = [f"{k:,}" for k in (q.a_only_wrong, q.b_only_wrong, q.both_wrong) if k is not None]
            d = q.difference
            ends = f"{shown(unit * d.low)} to {shown(unit * d.high)}" + (f" ({100 * d.level:g} %)" if d.level < 0.95 else "")
            lines.append([q.a, q.b, *counts, shown(unit * d.value), ends, probability(q.p), probability(q.p_corrected)])
        return lines

    def __str__(self) -> str:
        lines = [f"{self.n:,} cases, {self.test}", "", *table(self.scored()), "", *table(self.paired(), left=(0, 1)), ""]
        return "\n".join([*lines, *(q.verdict for q in self.pairs)])


def mcnemar(a_only_wrong: int, b_only_wrong: int) -> float:
    """The two-sided p of the cases on which exactly one of two nets is wrong, if each were as likely to be that one: a
    fair coin thrown `a_only_wrong + b_only_wrong` times.

    >>> round(mcnemar(1, 11), 4), round(mcnemar(15, 25), 3)
    (0.0063, 0.154)
    """
    thrown = a_only_wrong + b_only_wrong
    if min(a_only_wrong, b_only_wrong) < 0:
        raise InputError(f"McNemar's test needs two counts; got {a_only_wrong} and {b_only_wrong}. "
                         "Count the cases on which exactly one net is wrong.")
    return min(1.0, 2 * at_most_heads(min(a_only_wrong, b_only_wrong), thrown)) if thrown else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number, in the same order: the k-th smallest of m times m - k + 1, never falling.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, floor = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        floor = max(floor, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = floor
    return corrected


def paired_difference(a_only_wrong: int, b_only_wrong: int, both_wrong: int, both_right: int, level: float = 0.95) -> Difference:
    """The difference of two shares of errors on the same cases, with Newcombe's score interval (his method 10)."""
    n = a_only_wrong + b_only_wrong + both_wrong + both_right
    one, two = both_wrong + a_only_wrong, both_wrong + b_only_wrong
    p1, p2, ends1, ends2 = one / n, two / n, wilson(one, n, level), wilson(two, n, level)
    margins = one * (n - one) * two * (n - two)
    cross = both_wrong * both_right - a_only_wrong * b_only_wrong
    cross_ = max(cross - n / 2, 0.0) if cross >= 0 else float(cross)
    phi = cross_ / math.sqrt(margins) if margins else 0.0

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low = p1 - p2 - reach(p1 - ends1.low, ends2.high - p2)
    high = p1 - p2 + reach(ends1.high - p1, p2 - ends2.low)
    return Difference(p1 - p2, low, high, level)


def paired_flips(a: Tensor, b: Tensor, *, seed: int = 0, level: float = 0.95) -> tuple[Difference, float]:
    """The mean of a - b over cases (n,), its interval, and a two-sided p: how often the differences, with signs drawn anew, have a mean
    as far from zero. Of up to 14 cases all signs are gone through, so that p is exact.

    The interval holds the differences that the same test does not reject: it leaves zero out just where p is below 1 - level. Beside a
    supposed difference a set of signs is as far off where that lies between the mean of the cases whose sign is turned and the mean of
    the others, so the ends are order statistics of such means (Hartigan). Of up to five cases all sets together say less than 95 %; the
    level is then what they say.
    """
    d = (a - b).double()                                                 # (n,)
    n, value = len(d), float(d.mean())
    low, high = _turned_means(d, seed)                                   # (sets of signs,) each: those two means, in order
    sets = len(low) + 1                                                  # with the signs as they are
    slack = 1e-12 * float(d.abs().max())
    p = (1 + int(((low <= slack) & (high >= -slack)).sum())) / sets
    least = math.ceil((1 - level) * sets - 1e-9) - 1                     # so many sets may lie beyond a shift that is rejected
    if least < 1:
        level = 1 - 1 / sets
    if n == 1:
        return Difference(value, value, value, 0.0), 1.0
    k = max(least, 1)
    ends = float(low.kthvalue(k).values), float(high.kthvalue(len(high) - k + 1).values)
    return Difference(value, min(ends[0], value), max(ends[1], value), level), p


def _turned_means(d: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The lesser and the greater of two means of differences (n,), of the cases whose sign is turned and of the others, (sets,) each.

    All 2^(n - 1) - 1 ways to divide the cases in two for up to `ENUMERATED` of them, else random ones.
    """
    n, total = len(d), float(d.sum())
    both = torch.stack([d, torch.ones_like(d)], 1)                       # (n, 2)
    low, high = [], []
    pieces: Iterator[Any]
    if n <= ENUMERATED:
        pieces = iter([(np.arange(1, 2 ** (n - 1))[:, None] >> np.arange(n)) & 1])
    else:
        random, sets = np.random.default_rng(seed), max(LEAST_SETS, min(SETS, MOST_NUMBERS // n))
        at_once = max(1, BATCH_NUMBERS // n)
        pieces = (np.unpackbits(random.integers(0, 256, (min(at_once, sets - start), -(-n // 8)), dtype=np.uint8), axis=1, count=n)
                  for start in range(0, sets, at_once))
    for turned in pieces:
        sums, count = (torch.from_numpy(turned).double() @ both).unbind(1)   # (sets,), over the cases turned
        first, second = sums / count.clamp(min=1), (total - sums) / (n - count).clamp(min=1)
        some = (count > 0) & (count < n)                                 # else it is the signs as they are: between nothing and all
        low.append(torch.where(some, torch.minimum(first, second), -math.inf))
        high.append(torch.where(some, torch.maximum(first, second), math.inf))
    return torch.cat(low), torch.cat(high)


def compare(names: Sequence[str], cases: Sequence[Cases], *, level: float = 0.95, seed: int = 0, with_first: bool = False) -> Comparison:
    """Every pair of nets (`with_first`: of the first and each other), tested on the cases they share, with a sentence of verdict.

    Raises InputError where the nets were not tested on the same cases, or not by one measure.
    """
    outcomes, measure = _aligned(list(names), list(cases))
    counted, block = measure == ERRORS, max(c.block for c in cases)
    n = outcomes.shape[1]
    raw: list[tuple[int, int, tuple[int, int, int, int] | None, Difference, float]] = []
    for i, j in ((0, j) for j in range(1, len(names))) if with_first else combinations(range(len(names)), 2):
        a, b = outcomes[i], outcomes[j]
        if counted:
            both = int((a * b).sum())
            counts = (int(a.sum()) - both, int(b.sum()) - both, both, n - int(a.sum()) - int(b.sum()) + both)
            raw.append((i, j, counts, paired_difference(*counts, level=level), mcnemar(*counts[:2])))
        else:
            raw.append((i, j, None, *paired_flips(block_means(a, block), block_means(b, block), seed=seed, level=level)))
    corrected = holm([r[4] for r in raw])
    scores = [float(o.sum()) if counted else float(o.mean()) for o in outcomes]
    test = TESTS[counted] + (f" of blocks of {block} neighbours" if block > 1 else "")
    if len(raw) > 1:
        test += f", Holm-corrected over {len(raw)} pairs"
    pairs = []
    for (i, j, pair_counts, difference, p), p_corrected in zip(raw, corrected, strict=True):
        only_a, only_b, both_wrong, both_right = pair_counts or (None, None, None, None)
        verdict = _verdict(names[i], names[j], scores[i], scores[j], n, p_corrected, 1 - level, measure, test)
        verdict += _apart(difference, p, p_corrected, 1 - level, len(raw))
        pairs.append(Pair(names[i], names[j], only_a, only_b, both_wrong, both_right, difference, p, p_corrected, verdict))
    return Comparison(tuple(names), n, measure, tuple(scores), test, tuple(pairs))


def probability(p: float, digits: int = 2) -> str:
    """A p value with so many significant digits; a bound where a float does not hold it.

    >>> probability(0.0432), probability(0.2), probability(0.0), probability(0.00634766, 5)
    ('0.043', '0.200', '< 1e-300', '0.0063477')
    """
    if p < LEAST_P:
        return f"< {LEAST_P:g}"
    return "1" if p >= 0.9995 else f"{p:.{digits}g}" if p < 0.1 or digits > 3 else f"{p:.3f}"


def p_value(p: float) -> str:
    """The same as part of a sentence.

    >>> p_value(0.0432), p_value(0.0)
    ('p = 0.043', 'p < 1e-300')
    """
    return f"p {'' if p < LEAST_P else '= '}{probability(p)}"


def _verdict(a: str, b: str, score_a: float, score_b: float, n: int, p: float, alpha: float, measure: str, test: str) -> str:
    better, worse, least, most = (a, b, score_a, score_b) if score_a <= score_b else (b, a, score_b, score_a)
    what = f"{least:,.0f} against {most:,.0f} errors" if measure == ERRORS else f"a {measure} of {shown(least)} against {shown(most)}"
    evidence = f"on the same {n:,} cases, {p_value(p)} ({test})."
    if p < alpha:
        return f"{better} is better than {worse}: {what} {evidence}"
    return f"No difference is shown: {better} has {what} {'of' if measure == ERRORS else 'for'} {worse} {evidence}"


def _apart(difference: Difference, p: float, p_corrected: float, alpha: float, pairs: int) -> str:
    """Why the interval of a difference and its verdict speak differently, or nothing where they do not."""
    shown_apart = not difference.low <= 0 <= difference.high
    if shown_apart == (p_corrected < alpha):
        return ""
    if difference.level < 1 - alpha - 1e-9:
        return f" The interval is one of {100 * difference.level:g} %; so few cases say no more."
    if p < alpha <= p_corrected:
        return (f" The interval of this pair alone leaves out zero, as its own p of {probability(p)} says; among {pairs} pairs that is not "
                "enough.")
    holds = "leaves out" if shown_apart else "holds"
    return f" The interval, which is approximate, {holds} zero, but only just; the exact test decides."


def _aligned(names: list[str], cases: list[Cases]) -> tuple[Tensor, str]:
    """Outcomes (nets, n) in the order of row numbers: 1 for wrong, or costs; and what their sum, or their mean, is called."""
    if len(names) != len(cases) or len(names) < 2:
        raise InputError(f"A comparison needs a name for each of at least two nets; got {len(names)} names and {len(cases)} sets of cases. "
                         "Name two runs.")
    measures = {ERRORS if c.right is not None else c.measure for c in cases}
    if len(measures) > 1:
        raise InputError(f"A comparison needs nets of one task; {', '.join(names)} mix {' and '.join(sorted(measures))}. "
                         "Compare runs with the same target.")
    measure = measures.pop()
    counted = measure == ERRORS
    outcomes, first = [], None
    for name, c in zip(names, cases, strict=True):
        values = c.right if counted else c.costs
        if values is None or len(values) != len(c.rows) or len(values) == 0:
            raise InputError(f"{name} needs one outcome for each of its {len(c.rows)} test cases; got "
                             f"{'none' if values is None else len(values)}. Test the run again.")
        rows, order = c.rows.detach().cpu().sort(stable=True)
        if first is None:
            first = rows
        if c.fingerprint != cases[0].fingerprint or not torch.equal(rows, first):
            why = "other data, or other rows held out" if c.fingerprint != cases[0].fingerprint else "other rows of the data"
            raise InputError(f"{names[0]} and {name} were tested on different cases ({why}), so no paired test applies. Train "
                             "both with the same --split and --split-seed, or test both on one set with chainrule test RUN --on DATA.")
        values = values.detach().cpu()[order].double()
        outcomes.append(1 - values if counted else values)
    return torch.stack(outcomes), measure


def unique(names: Sequence[str]) -> list[str]:
    """Names told apart by a number where they repeat."""
    return [n if names.count(n) == 1 else f"{n} ({i + 1})" for i, n in enumerate(names)]
