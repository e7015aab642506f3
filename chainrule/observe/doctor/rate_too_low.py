"""D20: steps so small that nothing is learned in the time there is."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, option_of, remedy
from chainrule.observe.doctor.suited_rate import suited


@diagnoses("rate-too-low", source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2; Bengio (2012), "
           "https://arxiv.org/abs/1206.5533", code="D20", after=("rounded-away",), reads=("Looked", "Evaluated", "Finished"),
           unless=("vanishing-gradient", "dead-units", "saturated", "symmetry", "vanishing-through-time", "rate-too-high",
                   "rate-above-curvature"),
           cause="Each step is a tiny share of the weights' length, or nothing at all once it is rounded: they end next to where they "
                 "began.",
           remedy="A higher rate: `--optimizer sgd:rate=0.1`, by so much that the steps of the run go as far as weights usually do; "
                  "`chainrule find-rate` measures which.")
def rate_too_low(case: Case, *, step: float = 2e-5, fewest: int = 200, falling: float = 0.95) -> Iterator[Finding]:
    """The median step is below this share of the weights; the loss of the last fifth of `fewest` steps is above `falling` of the first's.

    A step that rounding makes nothing of, though there is a gradient, is such a one too. Nothing is said where the loss is low from the
    start, as of a net that was trained before.
    """
    facts = case.facts
    if facts.rate is None or case.step < fewest:
        return
    steps = [at.moved for at in case.looks if at.moved == at.moved]
    usual = middle(steps)
    if len(steps) < 5 or not usual < step or (usual == 0 and not lost(case)):
        return
    begin, end = case.loss_between(0.0, 0.2), case.loss_between(0.8, 1.0)
    if begin is None or end is None or not end > falling * begin:
        return
    if facts.constant_loss is not None and end < 0.5 * facts.constant_loss:
        return
    travel = (f"a step changes the weights by {usual:.1e} of their length: to change them by all of it takes {1 / usual:,.0f} steps"
              if usual else "steps are lost when they are rounded: the weights do not change, though there is a gradient")
    yield Finding("optimizer", f"at a rate of {facts.rate:g} {travel}; the loss went from {begin:.3g} to {end:.3g} in {case.step:,}",
                  faster(case), {"rate": facts.rate, "step_to_weights": usual})


def lost(case: Case, looks: int = 5) -> bool:
    """Whether at the last looks no weights moved, though there was a gradient for some."""
    for at in case.looks[-looks:]:
        pairs = [(at.of("weight_gradient", i), at.of("update", i)) for i in case.trained]
        moves = [update for slope, update in pairs if slope]
        if not moves or any(moves):
            return False
    return True


def faster(case: Case, least: float = 2.0) -> Remedy:
    """What the untouched net asks for, where that is above `least` times the rate; else the optimizer's own usual rate."""
    cure = suited(case)
    rate = option_of("optimizer", cure.options.get("optimizer", ""), "rate")
    if rate is not None and rate > least * (case.facts.rate or 0.0):
        return cure
    return remedy(optimizer=altered("optimizer", case.facts.optimizer, rate=usual_rate(case.facts)))


def usual_rate(facts: Facts) -> float | None:
    """The rate that the optimizer has where none is named."""
    rate: float | None = option_of("optimizer", facts.optimizer.partition(":")[0], "rate")
    return rate
