"""D19: steps larger than the weights can bear."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, quantile
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, at_rate, option_of, remedy
from chainrule.observe.doctor.suited_rate import suited


@diagnoses("rate-too-high", source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2; Bengio (2012), "
           "https://arxiv.org/abs/1206.5533", code="D19", after=("init-scale/loss",), reads=("Looked", "Evaluated", "Finished", "Broken"),
           cause="Where a step is as long as the weights themselves, each undoes what the ones before have learned.",
           remedy="A lower rate: `--optimizer sgd:rate=0.01`; `chainrule find-rate` measures which.")
def rate_too_high(case: Case, *, first: float = 1.0, strong: float = 0.3, lasting: float = 0.2, early: int = 4, fewest: int = 20,
                  falling: float = 0.5, stuck: float = 0.9) -> Iterator[Finding]:
    """A step is longer than `first` times the weights, or `strong`, within the `early` steps, or a quarter of all steps than `lasting`.

    A median over layers, those left out that begin at zero; and the loss of the last fifth of at least `fewest` steps is above `falling`
    times the first, or `stuck` times where a step was no more than strong, or is no longer finite.
    """
    if case.facts.rate is None:
        return
    start = max((at.moved for at in case.looks[: early + 1] if at.step <= early and at.moved == at.moved and not at.look.direction),
                default=0.0)                                        # machines begin with weights near zero
    later = [at.moved for at in case.looks if at.step >= max(fewest, case.step / 10) and at.moved == at.moved]
    usual = quantile(later, 0.75) if len(later) >= 5 else 0.0
    at_once, often = start > strong, usual > lasting
    step = start if at_once else usual
    if not (at_once or often):
        return
    if case.broken is not None and not (start > first or often):
        return
    if case.broken is None:
        recent, before = case.loss_between(0.8, 1.0), case.first_loss
        if case.step < fewest or recent is None or before is None or not recent > (falling if start > first or often else stuck) * before:
            return
        outcome = f"the loss went from {before:.3g} to {recent:.3g}"
    else:
        outcome = "the loss is no longer finite"
    rate = case.facts.rate
    when = f"in the first {early + 1} steps" if at_once else "over most of the run"
    yield Finding("optimizer", f"at a rate of {rate:g} a step changes the weights by {step:.3g} times their length ({when}), and {outcome}",
                  slower(case),
                  {"rate": rate, "step_to_weights": step})


def lower(case: Case, share: float) -> str | None:
    """The optimizer at this share of its rate, at most a tenth."""
    rate = case.facts.rate
    return None if rate is None else at_rate(case.facts.optimizer, rate * min(share, 0.1))


def slower(case: Case, most: float = 0.5) -> Remedy:
    """What the untouched net asks for, where that is below `most` of the rate; else a tenth of the rate."""
    cure = suited(case)
    rate = option_of("optimizer", cure.options.get("optimizer", ""), "rate")
    return cure if rate is not None and rate < most * (case.facts.rate or 0.0) else remedy(optimizer=lower(case, 0.1))


def clip(case: Case) -> Remedy:
    """A limit to the length of the gradient, where the rule has one, else a lower rate."""
    rule = altered("rule", case.facts.rule, clip=1.0)
    return remedy(rule=rule) if rule else remedy(optimizer=lower(case, 0.1))
