"""D32: training that ended while it was getting better."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
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
    amount = {"epochs": 2 * end.epochs, "steps": 2 * end.steps}.get(facts.budget)
    cure = Remedy({}, f"more --{facts.budget}") if amount is None else remedy(**{facts.budget: str(amount)})
    yield Finding("training", f"still improving: the last of {end.epochs:,} epochs was the best on the validation part", cure,
                  {"epochs": end.epochs})
