"""D21: numbers that are no longer finite."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.events import NOT_FINITE
from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.rate_too_high import clip, slower
from chainrule.observe.doctor.remedy import Remedy

AT_INPUT = "input"


@diagnoses("not-finite", source="Goldberg (1991), https://doi.org/10.1145/103162.103163", code=NOT_FINITE, reads=("Broken",),
           after=("overfitting",),
           cause="A step too long, a gradient too steep or a number that is none in the data: from there every weight is none in one step. "
                 "The engine replays the steps and names the first layer whose input is finite and whose output is not, with its rows.",
           remedy="A rate ten times lower, `--rule backprop:clip=1`, or inputs scaled to deviation one.")
def not_finite(case: Case) -> Iterator[Finding]:
    """A loss, a gradient, a weight or the optimizer's state is not finite after a step; nothing of that step is kept."""
    event = case.broken
    if event is None:
        return
    cure = clip(case)
    if event.layer == AT_INPUT:
        cure = Remedy({}, event.remedy)
    elif event.step == case.began:                    # no step was taken that could be too long
        cure = Remedy({}, f"see what {event.layer} computes: of zero a logarithm, a quotient and the slope of a root are not finite, nor "
                          "is exp of large numbers")
    elif (lower := slower(case)).options:
        cure = Remedy(lower.options, event.remedy)
    yield Finding(event.layer, event.evidence, cure, dict(event.numbers))
