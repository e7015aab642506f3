"""D34: a chain that stays where it is."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import altered, remedy


@diagnoses("does-not-mix", source="Tieleman (2008), https://doi.org/10.1145/1390156.1390290; Fischer & Igel (2014), "
           "https://doi.org/10.1016/j.patcog.2013.05.025", code="D34", after=("posterior-collapse",), outcome=True,
           cause="As weights grow, the chain that stands for what the net believes leaves its row less and less: contrastive divergence "
                 "then sees nothing of other places that the net makes likely.",
           remedy="More steps of the chain, or chains that go on: `--rule divergence:steps=10`, `--rule divergence:persistent=yes`; a "
                  "lower rate.")
def does_not_mix(case: Case, *, gap: float = 10.0, looks: int = 5, fewest: int = 200) -> Iterator[Finding]:
    """Training rows have a free energy lower than others' by more than `gap` nats, growing, while rows are given back ever better.

    At the last `looks`, from `fewest` steps on.
    """
    recent = [(at.look.reconstruction, at.look.free_energy_gap) for at in case.looks
              if at.step >= fewest and at.look.reconstruction is not None and at.look.free_energy_gap is not None][-looks:]
    if len(recent) < looks:
        return
    gaps = [g for _, g in recent if g is not None]
    if not (min(gaps) > gap and gaps[-1] > gaps[0]):
        return
    rule = altered("rule", case.facts.rule, persistent=True) or altered("rule", case.facts.rule, steps=10)
    yield Finding("chain", f"the free energy of rows that train is lower than that of others by {gaps[-1]:.3g} nats, and the gap grows",
                  remedy(rule=rule),
                  {"gap": gaps[-1]})
