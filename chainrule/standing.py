"""How a committee stands against its members on the same cases: errors of each, and paired tests of the committee against them.

Exact McNemar or paired bootstrap as in `evaluate.significance`, Holm-corrected over the members
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chainrule.data.source import Part
from chainrule.evaluate.combine import WAYS, combine
from chainrule.evaluate.result import shown, table
from chainrule.evaluate.significance import Cases, Difference, Pair, compare, holm, probability

if TYPE_CHECKING:
    from chainrule.committees import Committee

SHOWN = 20


@dataclass(frozen=True)
class Standing:
    """Errors (or mean squared errors) of a committee and of its members on `n` cases; `pairs` compare it with each of them, in order.

    `best` is the member with the fewest: where the cases are those it is then judged by, that choice flatters it.
    """

    n: int
    measure: str
    score: float
    names: tuple[str, ...]
    scores: tuple[float, ...]
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> int:
        return min(range(len(self.scores)), key=lambda i: self.scores[i])

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "best": self.names[self.best]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Standing:
        """The standing that `to_dict` described."""
        pairs = tuple(Pair(**{**pair, "difference": Difference(**pair["difference"])}) for pair in record["pairs"])
        return cls(record["n"], record["measure"], record["score"], tuple(record["names"]), tuple(record["scores"]), pairs)

    def __str__(self) -> str:
        counted = self.measure == "errors"

        def cells(name: str, score: float, pair: Pair | None) -> list[str]:
            told = [f"{score:,.0f}", shown(score / self.n, True) + " %"] if counted else [shown(score), ""]
            return [name, *told, probability(pair.p) if pair else "", probability(pair.p_corrected) if pair else ""]

        order = sorted(range(len(self.names)), key=lambda i: self.scores[i])
        rows = [["net", self.measure, "share" if counted else "", "p against it", "corrected"], cells("committee", self.score, None)]
        rows += [cells(self.names[i], self.scores[i], self.pairs[i]) for i in order[:SHOWN]]
        left = [f"  and {len(order) - SHOWN} more, none of them better"] if len(order) > SHOWN else []
        return "\n".join([f"{self.n:,} cases, {'exact McNemar' if counted else 'paired bootstrap'}, Holm-corrected over the members",
                          *table(rows), *left, self.pairs[self.best].verdict])


def grown(committee: Committee, part: Part) -> tuple[dict[str, list[float]], str]:
    """Errors in per cent, or mean squared errors, of the first 1, 2, ... members on a part, by each way of combining; and the own way.

    Members of a boosted committee have their own weights; gradient boosting knows no way but its sum.
    """
    job, record = committee.job, committee.record
    truth, counted = committee.truth(part), job.data.task == "classification"
    each, how = committee.each(part), record["how"]                                 # (members, n, k)

    def score(said: Tensor) -> float:
        return float(100 * (said.argmax(1) != truth).double().mean() if counted else (said - truth).square().mean(1).double().mean())

    if how == "gradient":
        return {"sum": [score(one) for one in each]}, "sum"
    ways = (record["by"],) if how == "samme" else WAYS if counted else ("mean",)
    weights = record["weights"]
    found = {way: [score(combine(each[:k], way, weights[:k] if weights else None)) for k in range(1, len(each) + 1)] for way in ways}
    return found, record["by"]


def standing(committee: Committee, part: Part) -> Standing:
    """The committee and its members on one part. Verdicts are of each pair alone."""
    job = committee.job
    truth, counted = committee.truth(part), job.data.task == "classification"

    def cases(said: Tensor) -> Cases:
        if counted:
            return Cases(part.rows, "one part", right=said.argmax(1) == truth)
        return Cases(part.rows, "one part", squared_errors=(said - truth).square().mean(1))

    steps = committee.record["how"] == "gradient"
    names = tuple(f"after round {i + 1}" if steps else run.name for i, run in enumerate(committee.members))
    own, others = cases(job.predictions(part)), [cases(one) for one in committee.each(part)]
    found = [compare(("the committee", name), (own, other), seed=committee.options.seed) for name, other in zip(names, others, strict=True)]
    corrected = holm([one.pairs[0].p for one in found])
    pairs = tuple(dataclasses.replace(one.pairs[0], p_corrected=p) for one, p in zip(found, corrected, strict=True))
    return Standing(len(part), found[0].measure, found[0].scores[0], names, tuple(one.scores[1] for one in found), pairs)
