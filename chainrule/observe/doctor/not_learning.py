"""D26: nothing is learned, for no reason that another diagnosis names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, linear_regression

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("not-learning", source="Student (1908), https://doi.org/10.1093/biomet/6.1.1, for the slope", code="D26",
           reads=("Evaluated", "Finished"), after=("does-not-mix",), outcome=True,
           cause="The inputs do not predict the targets, or something on the way between them is broken.",
           remedy="Try to learn 32 rows by heart: `--rows`-few data must be learned to a small loss; if they are, look at the data, "
                  "`chainrule check`.")
def not_learning(case: Case, *, loss: float = 0.97, steps: int = 500, better: float = 0.25, t: float = 1.65) -> Iterator[Finding]:
    """After an epoch and `steps` steps the loss of the second half is above `loss` times that of the constant answer and does not fall.

    The slope has a t above minus `t`, and no epoch answers `better` than the most frequent class by that much.
    """
    facts = case.facts
    if case.step < steps or not case.evaluations:
        return
    constant = facts.constant_loss if facts.constant_loss is not None else case.loss_between(0.0, 0.2)
    if constant is None or not facts.judged:
        return
    later = [(step, value) for step, value in case.curve if step >= case.step / 2]
    if len(later) < 5 or not all(math.isfinite(value) for _, value in later):
        return
    mean = fmean(value for _, value in later)
    if not mean > loss * constant or max(case.accuracies, default=0.0) > (facts.chance if facts.classes else 1.0) + better:
        return
    if max((e.valid["r2"] for e in case.evaluations if "r2" in e.valid), default=0.0) > better:
        return
    if slope_t(later) < -t and not hopeless(case, later, mean, constant):
        return
    yield Finding("net", f"the loss of the second half of {case.step:,} steps is {mean:.3g}, that of no knowledge {constant:.3g}, and it "
                  "does not fall", Remedy({}, "see whether 32 rows can be learned by heart; if so, look at the data with chainrule check"),
                  {"loss": mean, "constant": constant})


def hopeless(case: Case, later: Sequence[tuple[float, float]], mean: float, constant: float) -> bool:
    """Whether the loss falls so slowly toward that of the constant answer that it would take 20 times the steps to get a tenth below."""
    chance = case.facts.chance if case.facts.classes else 1.0
    if not mean > 0.99 * constant or max(case.accuracies, default=0.0) > chance + 0.15:
        return False
    slope = linear_regression(*zip(*later, strict=True)).slope
    return slope > -0.1 * constant / (20 * case.step)


def slope_t(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a line through points over its standard error; minus or plus infinity without noise."""
    n, mx, my = len(points), fmean(x for x, _ in points), fmean(y for _, y in points)
    sxx = sum((x - mx) ** 2 for x, _ in points)
    if not sxx or n < 3:
        return 0.0
    slope = sum((x - mx) * (y - my) for x, y in points) / sxx
    rest = sum((y - my - slope * (x - mx)) ** 2 for x, y in points)
    error = math.sqrt(rest / (n - 2) / sxx)
    return slope / error if error else math.copysign(math.inf, slope) if slope else 0.0
