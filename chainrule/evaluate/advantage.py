"""A net beside a simpler answer on the same cases: how much better it is, with the interval and the probability of a paired test."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.core.text import shown
from chainrule.evaluate.significance import Cases, compare, p_value

ALPHA = 0.05     # below it a difference is taken for shown


@dataclass(frozen=True)
class Advantage:
    """The net less `name` on `n` cases: the difference of `measure`, negative where the net is better, its ends, and p of `test`.

    Where errors are counted the difference is one of their shares.
    """

    name: str
    measure: str
    n: int
    difference: float
    low: float
    high: float
    level: float
    p: float
    test: str

    @property
    def better(self) -> bool | None:
        """Whether the net is; None where the test leaves that open, which decides where the interval, being approximate, says otherwise."""
        return self.difference < 0 if self.p < ALPHA else None

    def __str__(self) -> str:
        unit, sign = (100, " points of error") if self.measure == "errors" else (1, f" in {self.measure}")
        size, ends = shown(unit * abs(self.difference)), sorted((unit * abs(self.low), unit * abs(self.high)))
        if self.better is None:
            apart = "" if self.low <= 0 <= self.high else "; the interval is approximate, the exact test decides"
            between = f"{shown(unit * self.low)} to {shown(unit * self.high)}"
            return f"no difference is shown ({between}{sign}, {p_value(self.p)}{apart})"
        word = "better" if self.better else "worse"
        return f"the net is {word} by {size} ({shown(ends[0])} to {shown(ends[1])}){sign}, {p_value(self.p)}"


def advantage(name: str, ours: Cases, theirs: Cases) -> Advantage:
    """The net's cases beside those of the answer called `name`. Raises InputError where they are not the same."""
    comparison = compare(("the net", name), (ours, theirs))
    pair, d = comparison.pairs[0], comparison.pairs[0].difference
    return Advantage(name, comparison.measure, comparison.n, d.value, d.low, d.high, d.level, pair.p, comparison.test)
