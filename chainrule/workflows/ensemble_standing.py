"""How a committee stands against its members on the same cases: errors of each, and paired tests of the committee against them.

Exact McNemar or paired sign flips as in `evaluate.significance`, Holm-corrected over the members
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from chainrule.evaluate.combination import WAYS, combine
from chainrule.evaluate.significance import Cases, compare, squared_costs
from chainrule.evaluate.standing import Standing


def growth_scores(each: Tensor, truth: Tensor, record: dict[str, Any]) -> tuple[dict[str, list[float]], str]:
    """Errors in per cent, or mean costs of numbers, of the first 1, 2, ... members, by each way of combining; and the committee's own way.

    `each` (members, n, k) are the members' answers, `truth` (n,) class numbers or (n, k) values, `record` the committee's. Members of a
    boosted committee have their own weights; gradient boosting knows no way but its sum.
    """
    counted, how, weights = not truth.is_floating_point(), record["how"], record["weights"]

    def score(answer: Tensor) -> float:
        return float(100 * (answer.argmax(1) != truth).double().mean() if counted else squared_costs(answer, truth)[0].mean())

    if how == "gradient":
        return {"sum": [score(one) for one in each]}, "sum"
    ways = (record["by"],) if how == "samme" else WAYS if counted else ("mean",)
    scores = {way: [score(combine(each[:k], way, weights[:k] if weights else None)) for k in range(1, len(each) + 1)] for way in ways}
    return scores, record["by"]


def standing(names: Sequence[str], answer: Tensor, each: Tensor, truth: Tensor, rows: Tensor, *, seed: int) -> Standing:
    """A committee's answer (n, k) beside those of its members (members, n, k) on the cases `rows` (n,); verdicts of the corrected tests."""
    counted = not truth.is_floating_point()

    def cases(one: Tensor) -> Cases:
        if counted:
            return Cases(rows, "one part", right=one.argmax(1) == truth)
        costs, measure = squared_costs(one, truth)
        return Cases(rows, "one part", costs=costs, measure=measure)

    judged = compare(("the committee", *names), (cases(answer), *(cases(one) for one in each)), seed=seed, with_first=True)
    return Standing(len(rows), judged.measure, judged.scores[0], tuple(names), judged.scores[1:], judged.pairs)
