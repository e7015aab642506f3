"""D37: a rate above what the error surface allows."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.rate_too_high import lower
from chainrule.observe.doctor.remedy import at_rate, remedy


@diagnoses("rate-above-curvature", source="Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531; LeCun, Bottou, Orr & Mueller (1998), "
           "https://doi.org/10.1007/3-540-49430-8_2, section 5", code="D37", reads=("Beginning", "Looked"), after=("symmetry",),
           variants={"measured": ("rate-too-high",)},
           cause="Along the direction in which the loss bends most, a step of more than 2 over that curvature lands farther from the "
                 "minimum than it began. Of the delta rule at one row x it is the squared length of x, and 1 for the bias: at x = (34, 1, "
                 "4) every rate above 2 / 1174 = .0017 diverges, .01 among them.",
           remedy="A rate below 2 over the largest curvature; half of it goes straight to the minimum along that direction: `--optimizer "
                  "sgd:rate=0.0008`. Scaled inputs, or `--rule adaline:normalised=yes`.")
def rate_above_curvature(case: Case, *, beyond: float = 1.1, measured: float = 2.0, looks: int = 5) -> Iterator[Finding]:
    """A linear layer under half the squared error is trained by plain gradient descent at more than `beyond` times 2 / (largest curvature).

    Of other nets, where a look has measured the curvature: at more than `measured` times that, and the loss has risen above its beginning,
    not at one look alone but in the median of the last `looks`, as a net that learns may pass a steep place.
    """
    facts = case.facts
    if facts.rate is None or not facts.optimizer.startswith("sgd"):
        return
    reach = 2 * (1 + facts.momentum)                    # of gradient descent with momentum, Polyak (1964)
    if facts.curvature is not None and not case.looks:
        if facts.rate * facts.curvature > beyond * reach:
            yield _finding(case, facts.curvature, reach, "", "")
        return
    measures = [(at, value) for at in case.looks if (value := at.number("curvature")) is not None and value > 0]
    if facts.curvature is not None or not measures or measures[-1][0] is not case.looks[-1]:
        return
    recent = [loss for at in case.looks[-looks:] if (loss := at.number("loss")) is not None]
    now, before = middle(recent) if len(recent) == looks else None, case.first_loss
    if facts.rate * measures[-1][1] > measured * reach and now is not None and before is not None and now > before:
        yield _finding(case, measures[-1][1], reach, f"; the loss rose from {before:.3g} to {now:.3g}", "measured")


def _finding(case: Case, curvature: float, reach: float, outcome: str, variant: str) -> Finding:
    rate, limit = case.facts.rate or 0.0, reach / curvature
    return Finding("optimizer", f"the rate {rate:g} is above {limit:.2g}, {reach:g} over the largest curvature ({curvature:.4g}), from "
                   f"where on steps "
                   f"lead away from the minimum{outcome}", remedy(optimizer=at_rate(case.facts.optimizer, limit / 2) or lower(case, 0.1)),
                   {"rate": rate, "curvature": curvature, "limit": limit}, variant=variant)
