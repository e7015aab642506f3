"""How a committee stands against its members on the same cases: errors of each, and paired tests of the committee against them.

Exact McNemar or paired sign flips as in `evaluate.significance`, Holm-corrected over the members
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from chainrule.core.registry import tasks
from chainrule.core.schema import Misfit, as_type, intelligible
from chainrule.data.source import Part
from chainrule.evaluate.agreement import Agreement, of_classes, of_numbers
from chainrule.evaluate.combination import WAYS, combine
from chainrule.evaluate.significance import Cases, compare, squared_costs
from chainrule.evaluate.standing import Standing
from chainrule.job.record import REMEDY
from chainrule.job.trained import Trained
from chainrule.runs.folder import Folder

VALID_STANDING = "valid-standing.json"
PART = "one part"  # whose cases are all that is compared


@dataclass(frozen=True)
class ValidationStanding:
    """How a committee stood on the validation part, and what its first 1, 2, ... members scored."""

    standing: Standing
    growth: tuple[dict[str, list[float]], str]

    @classmethod
    def of(cls, stored: dict[str, Any]) -> ValidationStanding:
        """What a folder keeps of it. Raises Misfit."""
        validated: ValidationStanding = as_type(cls, stored)
        scores, own = validated.growth
        standing = Standing.from_dict(stored["standing"])
        if own not in scores or {len(one) for one in scores.values()} != {len(standing.names)}:
            raise Misfit(f"scores of {len(standing.names)} members by each way, {own} among them", "others", "growth")
        return replace(validated, standing=standing)


def validation_standing_in(folder: Folder, name: str) -> ValidationStanding | None:
    """What a folder keeps under a name of the validation part; None where it does not. Raises CorruptFile."""
    stored = folder.read_json(name)
    with intelligible(folder.path / name, REMEDY):
        return None if stored is None else ValidationStanding.of(stored)


def standing_in(folder: Folder, name: str) -> Standing | None:
    """The standing that a folder keeps under a name; None where it does not. Raises CorruptFile."""
    stored = folder.read_json(name)
    with intelligible(folder.path / name, REMEDY):
        return None if stored is None else Standing.from_dict(stored)


def cases_by(trained: Trained, part: Part) -> Callable[[Tensor], Cases]:
    """What answers to a part contribute to paired tests: of rows those of the classes or values, of steps as the task has it."""
    truth = trained.truth(part)

    def cases(answer: Tensor) -> Cases:
        if not tasks.find(trained.task.name).traits.rowwise:
            return cast(Cases, trained.outcomes(part, PART, answer))
        if not truth.is_floating_point():
            return Cases(part.rows, PART, right=answer.argmax(1) == truth)
        costs, measure = squared_costs(answer, truth)
        return Cases(part.rows, PART, costs=costs, measure=measure)

    return cases


def growth_scores(each: Tensor, cases: Callable[[Tensor], Cases], record: dict[str, Any],
                  probabilistic: bool) -> tuple[dict[str, list[float]], str]:
    """Errors in per cent, or mean costs, of the first 1, 2, ... members, by each way of combining; and the committee's own way.

    `each` (members, n, ...) are the members' answers, `record` the committee's. Members of a boosted committee have their own weights;
    gradient boosting knows no way but its sum.
    """
    how, weights, own = record["how"], record["weights"], record["by"]
    counted = cases(each[0]).right is not None

    def score(answer: Tensor) -> float:
        judged = cases(answer)
        wrong = judged.costs if judged.right is None else 100.0 * ~judged.right
        return float(cast(Tensor, wrong).double().mean())

    if how == "gradient":
        return {"sum": [score(one) for one in each]}, "sum"
    others = WAYS if counted else ("mean", "product") if probabilistic else ("mean",)      # a vote rules out what nobody thinks likeliest
    ways = (own,) if how == "samme" else tuple(dict.fromkeys((*others, own)))
    scores = {way: [score(combine(each[:k], way, weights[:k] if weights else None)) for k in range(1, len(each) + 1)] for way in ways}
    return scores, own


def agreement(trained: Trained, each: Tensor, part: Part) -> Agreement | None:
    """What members whose answers are (members, n, ...) have in common of their errors on a part; None of answers at steps."""
    if not tasks.find(trained.task.name).traits.rowwise:
        return None
    truth = trained.truth(part)
    return of_numbers(each, truth) if truth.is_floating_point() else of_classes(each.argmax(2), truth)


def standing(names: Sequence[str], answer: Tensor, each: Tensor, cases: Callable[[Tensor], Cases], *, seed: int,
             agreement: Agreement | None = None) -> Standing:
    """A committee's answer (n, ...) beside those of its members (members, n, ...); verdicts of the corrected tests."""
    own = cases(answer)
    judged = compare(("the committee", *names), (own, *(cases(one) for one in each)), seed=seed, with_first=True)
    return Standing(len(own.rows), judged.measure, judged.scores[0], tuple(names), judged.scores[1:], judged.pairs, agreement)
