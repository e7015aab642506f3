"""D17: rectified units that are zero for every row, and get no gradient any more."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.init_scale import suited_init
from chainrule.observe.doctor.rate_too_high import slower
from chainrule.observe.doctor.remedy import altered, remedy

RECTIFIED = ("ReLU", "ReLU6")
PASSING = ("Dropout", "Pool", "Flatten", "Norm", "Identity")       # what may follow, in the name of its kind, and leaves zeros zero


@diagnoses("dead-units", source="Maas, Hannun & Ng (2013), https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf; Lu, Shin, "
           "Su & Karniadakis (2019), https://arxiv.org/abs/1903.06733", code="D17", after=("generator-collapse",),
           variants={"start": ("vanishing-through-time",)}, unless=("symmetry",),
           cause="A rectified unit whose sum is negative for every row is zero and has no slope: no gradient reaches its weights again.",
           remedy="A lower rate and `--init he`; units that leak, as `--net mlp:...,activation=leaky`.")
def dead_units(case: Case, *, share: float = 0.75, looks: int = 5) -> Iterator[Finding]:
    """More than `share` of a layer's rectified units are zero for all rows looked at, at so many `looks` in a row."""
    if len(case.looks) < looks:
        return
    recent = case.looks[-looks:]
    worst: tuple[float, int] | None = None
    for i, _, kind in case.hidden:
        if not ends_rectified(kind):
            continue
        shares = [value for at in recent if (value := at.of("dead", i)) is not None]
        if len(shares) == looks and min(shares) > share and (worst is None or shares[-1] > worst[0]):
            worst = shares[-1], i
    if worst is None:
        return
    dead, i = worst
    began = case.looks[0].step == 0 and (case.looks[0].of("dead", i) or 0) > share
    fresh = case.facts.init.startswith(suited_init(case.facts))
    cure = remedy(init=suited_init(case.facts)) if began and not fresh else remedy(
        net=altered("net", case.facts.net, activation="leaky"), **{} if began else slower(case).options)
    yield Finding(case.layers[i], f"{100 * dead:.0f} % of the units of {case.layers[i]} are zero for every row looked at, at {looks} looks "
                                  "in a row"
                  + (", from the start" if began else ""), cure, {"dead": dead, "looks": looks}, variant="start" if began else "")


def ends_rectified(kind: str) -> bool:
    """Whether what a layer gives are rectified units, pooled or thinned at most: `Conv2d + ReLU + MaxPool2d`."""
    parts = [one.strip() for one in kind.split("+")]
    after = next((parts[i + 1 :] for i, one in enumerate(parts) if one in RECTIFIED), None)
    return after is not None and all(any(word in one for word in PASSING) for one in after)
