"""D20: steps so small that nothing is learned in the time there is."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.rate_too_high import raised
from chainrule.observe.doctor.remedy import remedy

AIM, MOST = 1e-3, 1e4       # of a step, over the weights, that a remedy aims at; by how much it raises the rate at most


@diagnoses("rate-too-low", source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2; Bengio (2012), "
           "https://arxiv.org/abs/1206.5533", code="D20", after=("too-much-dropout",), reads=("Looked", "Evaluated", "Finished"),
           unless=("vanishing-gradient", "dead-units", "saturated", "symmetry", "vanishing-through-time"),
           cause="Each step is a tiny share of the weights' length: they end next to where they began.",
           remedy="A higher rate: `--optimizer sgd:rate=0.1`; `chainrule find-rate` measures which.")
def rate_too_low(case: Case, *, step: float = 2e-5, fewest: int = 200, falling: float = 0.95) -> Iterator[Finding]:
    """The median step is below this share of the weights; the loss of the last fifth of `fewest` steps is above `falling` of the first's.

    Nothing is said where the loss is low from the start, as of a net that was trained before.
    """
    facts = case.facts
    if facts.rate is None or case.step < fewest:
        return
    steps = [at.moved for at in case.looks if at.moved == at.moved]
    usual = middle(steps)
    if len(steps) < 5 or not 0 < usual < step:
        return
    begin, end = case.loss_between(0.0, 0.2), case.loss_between(0.8, 1.0)
    if begin is None or end is None or not end > falling * begin:
        return
    if facts.constant_loss is not None and end < 0.5 * facts.constant_loss:
        return
    yield Finding("optimizer", f"at a rate of {facts.rate:g} a step changes the weights by {usual:.1e} of their length: to change them by "
                               f"all of it takes {1 / usual:,.0f} steps; the loss went from {begin:.3g} to {end:.3g} in {case.step:,}",
                  remedy(optimizer=raised(case, min(MOST, max(10.0, AIM / usual)))), {"rate": facts.rate, "step_to_weights": usual})
