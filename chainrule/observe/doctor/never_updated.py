"""D09: weights that nothing moves."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("never-updated", source="Griewank & Walther (2008), https://doi.org/10.1137/1.9780898717761", code="D09", after=("dead-units",),
           unless=("vanishing-gradient", "dead-units", "symmetry", "saturated", "output-activation"),
           cause="No path leads from the loss to these weights: a module is not used, or its output is detached, rounded or compared on "
                 "the way.",
           remedy="In a module of one's own: no detach(), no_grad(), argmax or round on the way to the loss; `--freeze` for what is to "
                  "stay.")
def never_updated(case: Case, *, looks: int = 5) -> Iterator[Finding]:
    """Weights that are not frozen have a gradient of exactly zero and do not move at so many `looks`."""
    if len(case.looks) < looks or any(at.look.direction for at in case.looks[-1:]):
        return
    for i in case.trained:
        moves, slopes = case.series("update", i, looks), case.series("weight_gradient", i, looks)
        if len(moves) >= looks and not any(moves) and not any(slopes):
            name = case.layers[i]
            yield Finding(name, f"the gradient of {name} is exactly zero and its weights have not moved at {len(moves)} looks",
                          Remedy({}, "look for what cuts the way from the loss to it: detach(), no_grad(), argmax, round"),
                          {"looks": len(moves)})
            return
