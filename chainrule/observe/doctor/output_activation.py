"""D07: an activation between the output layer and a loss that has its own."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy

BOUNDED = ("relu", "sigmoid", "tanh", "softmax", "hard-tanh", "scaled-tanh", "softplus")


@diagnoses("output-activation", source="Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28", code="D07", reads=("Beginning",),
           after=("class-collapse",),
           cause="Cross-entropy takes the softmax of what it is given: of numbers that are squashed already no probability near one can "
                 "come, and of rectified ones no class can be made unlikely.",
           remedy="An output layer without activation: `--net mlp:...,output=identity`.")
def output_activation(case: Case) -> Iterator[Finding]:
    """The loss is cross-entropy, and an activation that is bounded on one side or two stands behind the output layer."""
    facts = case.facts
    if not facts.loss.startswith(("cross-entropy", "focal")) or facts.last not in BOUNDED:
        return
    net = altered("net", facts.net, output="identity")
    yield Finding("output", f"{facts.last} stands between the output layer and {facts.loss}, which takes the softmax of scores",
                  remedy(net=net) if net else Remedy({}, f"leave out the {facts.last} behind the last layer"), {"classes": facts.classes})
