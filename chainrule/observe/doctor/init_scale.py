"""D13: the weights begin too large."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, remedy, rounded

RECURRENT = ("rnn", "lstm", "gru")       # families whose weights are multiplied by themselves, step by step


@diagnoses("init-scale", source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2; He et al. (2015), "
           "https://doi.org/10.1109/ICCV.2015.123", code="D13", after=("saturated/start",),
           variants={"loss": ("dead-units/start",)},
           cause="Sums over many inputs grow with the size of the weights: outputs begin far from anything likely, and the first steps "
                 "only undo that.",
           remedy="Weights scaled to the number of a unit's inputs: `--init he` or `--init xavier`.")
def init_scale(case: Case, *, loss: float = 5.0, norm: float = 100.0) -> Iterator[Finding]:
    """Before the first update the cross-entropy is above `loss` times the log of the number of classes, or the gradient longer than `norm`.

    The length counts for losses of classes and numbers, over the deviation of the targets where that is above one.
    """
    facts = case.facts
    at = case.looks[0] if case.looks else None
    if at is None or at.step > 0 or not judged(facts):
        return
    start, length = at.number("loss"), at.number("norm")
    classes = math.log(facts.classes) if facts.classes > 1 else 0.0
    cure = multiplied(case) or remedy(init=suited_init(facts))
    if length is not None and start is not None and math.isfinite(start) and not length <= norm * facts.scale:
        yield Finding("initial weights", f"before the first update the gradient is {length:.3g} long; that of a good start is below "
                      f"{norm * facts.scale:.3g}", cure, {"norm": length, "loss": start})
    elif classes and facts.loss.startswith("cross-entropy") and start is not None and start > loss * classes:
        yield Finding("initial weights", f"the loss before the first update is {start:.3g}; that of no knowledge is {classes:.3g} (the log "
                                         f"of {facts.classes} classes)", cure, {"loss": start, "expected": classes}, variant="loss")


def multiplied(case: Case, times: float = 10.0) -> Remedy | None:
    """What to do where not the first weights are large but what they read, though what the net is given is not; None where it is not so.

    A unit's weights are no longer than all of its layer's, so that what it gives has at most their length times the scale of what it reads.
    """
    at, facts = case.looks[0], case.facts
    given, weight = at.of("activation_sd", 0), at.of("weight", 0)
    size = max(facts.inputs.get("sd", 1.0), abs(facts.inputs.get("mean", 0.0)), 1.0)
    if facts.recurrent or given is None or not weight or not given > times * size * weight:
        return None
    return Remedy({}, f"see what stands before {at.layers[0]}: it reads numbers at least {rounded(given / weight / size):g} times as large "
                      "as those the net is given; divide them by as much")


def judged(facts: Facts) -> bool:
    """Whether gradients of the loss have the size that is usual for classes and numbers."""
    return facts.loss.startswith(("cross-entropy", "squared", "binary-cross-entropy", "huber", "absolute", "logistic")) and (
        facts.classes > 0 or facts.task in ("regression", "forecast"))


def suited_init(facts: Facts) -> str:
    """The init that the net's units ask for, or its steps back through time."""
    if facts.recurrent or facts.net.partition(":")[0] in RECURRENT:
        return "orthogonal"
    return "he" if facts.activation in ("", "relu", "leaky", "elu", "gelu",
                                        "silu") else "table" if facts.activation == "sigmoid" else "xavier"
