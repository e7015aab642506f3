"""D18: sigmoid or tanh units that stand at their flat ends."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.init_scale import suited_init
from chainrule.observe.doctor.rate_too_high import slower
from chainrule.observe.doctor.remedy import remedy

BENT = ("Sigmoid", "Tanh", "ScaledTanh", "Hardtanh", "ElmanLayer")


@diagnoses(source="LeCun, Bottou, Orr & Mueller (1998), https://doi.org/10.1007/3-540-49430-8_2; Glorot & Bengio (2010), "
           "https://proceedings.mlr.press/v9/glorot10a.html", code="D18", after=("rate-above-curvature/measured",),
           variants={"start": ("rate-too-low",)},
           cause="At its flat ends a unit has next to no slope: its own weights and all below it get next to no gradient.",
           remedy="`--init xavier` for tanh, `--init table` for sigmoid units, a lower rate, or inputs of deviation one.")
def saturated(case: Case, *, share: float = 0.75, start: float = 0.5, looks: int = 5) -> Iterator[Finding]:
    """More than `share` of what a hidden layer gives is at the flat ends at `looks` looks in a row, or `start` of it before any update."""
    if not case.looks:
        return
    first, recent = case.looks[0], case.looks[-looks:]
    for i, name, kind in case.hidden:
        if not any(one.strip() in BENT for one in kind.split("+")):
            continue
        begun = first.of("saturated", i) if first.step == 0 else None
        if begun is not None and begun > start:
            sd = first.of("activation_sd", i)
            yield Finding(name, f"{100 * begun:.0f} % of what {name} gives is at the flat ends before the first update",
                          remedy(init=suited_init(case.facts)), {"saturated": begun, "activation_sd": sd or 0.0}, variant="start")
            return
        shares = [value for at in recent if (value := at.of("saturated", i)) is not None]
        if len(shares) == looks and min(shares) > share:
            yield Finding(name, f"{100 * shares[-1]:.0f} % of what {name} gives is at the flat ends, at {looks} looks in a row",
                          slower(case), {"saturated": shares[-1]})
            return
