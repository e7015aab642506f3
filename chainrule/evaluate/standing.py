"""How a committee stands against its members on the same cases: the score of each, and paired tests of the committee against them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from chainrule.core.schema import Misfit, as_type
from chainrule.core.text import shown, table
from chainrule.evaluate.agreement import Agreement
from chainrule.evaluate.significance import Pair, probability

SHOWN = 20


@dataclass(frozen=True)
class Standing:
    """Errors (or mean squared errors) of a committee and of its members on `n` cases; `pairs` compare it with each of them, in order.

    `best` is the member with the fewest: where the cases are those it is then judged by, that choice flatters it. `agreement` is that of
    members whose answers are to whole rows.
    """

    n: int
    measure: str
    score: float
    names: tuple[str, ...]
    scores: tuple[float, ...]
    pairs: tuple[Pair, ...]
    agreement: Agreement | None = None

    @property
    def best(self) -> int:
        return min(range(len(self.scores)), key=lambda i: self.scores[i])

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "best": self.names[self.best]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Standing:
        """The standing that `to_dict` described. Raises Misfit for what it did not."""
        standing: Standing = as_type(cls, record)
        counts = [len(standing.names), len(standing.scores), len(standing.pairs)]
        if not min(counts) == max(counts) > 0:
            raise Misfit("a name, a score and a pair for each member", str(counts))
        return standing

    def __str__(self) -> str:
        counted = self.measure == "errors"

        def cells(name: str, score: float, pair: Pair | None) -> list[str]:
            columns = [f"{score:,.0f}", shown(score / self.n, True) + " %"] if counted else [shown(score), ""]
            return [name, *columns, probability(pair.p) if pair else "", probability(pair.p_corrected) if pair else ""]

        order = sorted(range(len(self.names)), key=lambda i: self.scores[i])
        rows = [["net", self.measure, "share" if counted else "", "p against it", "corrected"], cells("committee", self.score, None)]
        rows += [cells(self.names[i], self.scores[i], self.pairs[i]) for i in order[:SHOWN]]
        left = [f"  and {len(order) - SHOWN} more, none of them better"] if len(order) > SHOWN else []
        return "\n".join([f"{self.n:,} cases, {'exact McNemar' if counted else 'paired sign flips'}, Holm-corrected over the members",
                          *table(rows), *left, self.pairs[self.best].verdict])
