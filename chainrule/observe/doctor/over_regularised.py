"""D22: a pull to zero that the data cannot outweigh."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import At, Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import altered, remedy, rounded


@diagnoses("over-regularised", source="Krogh & Hertz (1991), NIPS 4:950; Loshchilov & Hutter (2017), https://arxiv.org/abs/1711.05101",
           code="D22",
           reads=("Looked", "Evaluated", "Finished"), after=("never-updated",),
           cause="Decay takes a share off every weight at each step; where that is more than the gradient gives, all weights go to zero.",
           remedy="Less of it: `--optimizer adamw:decay=0.01`, `--optimizer sgd:decay=0.0001`, `--rule backprop:l2=0.0001`.")
def over_regularised(case: Case, *, shrunk: float = 0.3, loss: float = 0.5, fewest: int = 50, stuck: float = 0.95) -> Iterator[Finding]:
    """With weight decay, all weights together are below `shrunk` of what they were, the loss above `loss` times a constant answer's."""
    facts = case.facts
    if facts.decay <= 0 or not case.looks or case.step < fewest:
        return
    before, now = _length(case.looks[0]), _length(case.looks[-1])
    recent = case.loss_between(0.8, 1.0)
    constant = facts.constant_loss if facts.constant_loss is not None else case.first_loss
    if not before or recent is None or constant is None or not recent > loss * constant:
        return
    shrinks = now < shrunk * before
    if not shrinks and not (recent > stuck * constant and pull(case, before) > 1):
        return
    less = rounded(min(1e-4, facts.decay / 100))
    rule = altered("rule", facts.rule, l2=less) if "l2=" in facts.rule else None
    what = (f"the weights have shrunk to {100 * now / before:.0f} % of their length" if shrinks
            else f"the pull to zero is {pull(case, before):.3g} times what the gradient has to set against it")
    yield Finding("weights", f"under a decay of {facts.decay:g} {what}, and the loss is "
                  f"{recent:.3g}; without any knowledge it is {constant:.3g}",
                  remedy(rule=rule, optimizer=None if rule else altered("optimizer", facts.optimizer, decay=less)),
                  {"shrunk": now / before, "decay": facts.decay, "loss": recent})


def pull(case: Case, length: float) -> float:
    """The decay of all weights over the gradient it is added to; of one apart from it, a third of minus the logarithm of what it leaves."""
    facts = case.facts
    if facts.optimizer.startswith("adamw"):
        return (facts.rate or 0.0) * facts.decay * case.step / 3
    slopes = [norm for at in case.looks[:5] if (norm := at.number("norm")) is not None]
    return facts.decay * length / middle(slopes) if slopes and middle(slopes) > 0 else 0.0


def _length(at: At) -> float:
    """Of all weights together."""
    return sqrt(sum((at.of("weight", i) or 0.0) ** 2 for i in range(len(at.layers))))
