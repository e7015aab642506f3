"""The rate that a run is to have instead of its own, by what was measured before its steps did harm."""

from __future__ import annotations

import math

from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.remedy import Remedy, altered, option_of, remedy, rounded

TRAVEL = 16.0                   # lengths of the weights that a remedy has the steps of the run go
WEAK, STRONG = 1e-3, 0.04       # the least and the longest step, over the weights, that it aims at, see `observe/looks/weights.py`
STEADY, CARRIED = 0.007, 0.9    # of plain descent: the first step, over the weights, under a momentum of so much
ADAPTIVE = ("adam", "adamw")    # whose first step changes each weight by the rate
PLAIN = ("sgd", "momentum", "nesterov")


def suited_step(case: Case) -> float:
    """The length of a step, over that of the weights, by which the steps of the run go `TRAVEL` lengths of the weights."""
    return min(STRONG, max(WEAK, TRAVEL / max(case.step, case.facts.steps, 1)))


def suited(case: Case) -> Remedy:
    """The optimizer at the rate that the untouched net asks for; nothing where no look saw that, or a rate is not the optimizer's.

    Adam's first step is known from the weights alone. Plain descent is aimed by its first gradient, and given momentum and a limit to the
    length of later gradients, which is what makes it bear that rate where the loss grows steeper. A rule that gives a direction of its own
    has the optimizer that it has where none is named, with momentum too: Hinton (2012), https://doi.org/10.1007/978-3-642-35289-8_32.
    """
    facts, at = case.facts, case.looks[0] if case.looks else None
    if facts.rate is None or at is None or at.step > 0:
        return Remedy()
    if at.look.direction:
        own = option_of("optimizer", facts.usual, "momentum")
        usual = facts.usual if own is None else altered("optimizer", facts.usual, momentum=max(own, CARRIED))
        return remedy(optimizer=usual or None)
    name, trained = facts.optimizer.partition(":")[0], [i for i in case.trained if at.layers[i] not in facts.zero]
    if name in ADAPTIVE:
        sizes = [weight / math.sqrt(facts.weights[at.layers[i]]) for i in trained if (weight := at.of("weight", i))
                 and at.layers[i] in facts.weights]
        size = middle(sizes)
        return remedy(optimizer=altered("optimizer", facts.optimizer, rate=rounded(suited_step(case) * size))) if size > 0 else Remedy()
    if name not in PLAIN:
        aim = suited_step(case) / at.moved if at.moved > 0 and math.isfinite(at.moved) else 0.0
        return remedy(optimizer=altered("optimizer", facts.optimizer, rate=rounded(facts.rate * aim))) if aim else Remedy()
    slope = middle([rel for i in trained if (rel := case.relative_gradient(at, i))])
    if not (slope > 0 and math.isfinite(slope)):
        return Remedy()
    momentum = max(facts.momentum, CARRIED)
    length = at.number("norm")
    clip = rounded(max(1.0, length)) if length is not None and math.isfinite(length) else None
    free = clip is not None and option_of("rule", facts.rule, "clip") is None
    return remedy(optimizer=altered("optimizer", facts.optimizer, rate=rounded(STEADY / slope), momentum=momentum),
                  rule=altered("rule", facts.rule, clip=clip) if free else None)
