"""D32: training that ended while it was getting better."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, remedy


@diagnoses("still-improving", source="Prechelt (1998), https://doi.org/10.1007/3-540-49430-8_3", code="D32", reads=("Finished",),
           after=("linear-stack",), note=True, outcome=True,
           cause="The budget was spent before the validation part had its best.",
           remedy="More of it: twice the `--epochs`, `--steps` or `--seconds`.")
def still_improving(case: Case) -> Iterator[Finding]:
    """The budget ended training at its best epoch, of two or more, and no schedule has brought the rate down toward the end."""
    end, facts = case.finished, case.facts
    if end is None or end.reason != "budget" or end.epochs < 2 or end.best_epoch < end.epochs:
        return
    if not facts.monitored or facts.schedule or not facts.validating:
        return
    yield Finding("training", f"still improving: the last of {end.epochs:,} epochs was the best on the validation part",
                  longer(facts, end.epochs, end.steps, 2), {"epochs": end.epochs})


def longer(facts: Facts, epochs: int, steps: int, times: int) -> Remedy:
    """So many times the training of so many epochs and steps, by the option that ended it; in words where that is the clock."""
    amount = {"epochs": times * max(1, epochs), "steps": times * steps}.get(facts.budget)
    return Remedy({}, f"more --{facts.budget}") if amount is None else remedy(**{facts.budget: str(amount)})
