"""D03: targets that the last activation cannot reach."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy

RANGES = {"relu": (0.0, float("inf")), "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "softplus": (0.0, float("inf")),
          "hard-tanh": (-1.0, 1.0), "scaled-tanh": (-1.7159, 1.7159)}


@diagnoses("output-range", source="Bishop (1995), Neural Networks for Pattern Recognition, section 6.1", code="D03", reads=("Beginning",),
           after=("input-scale",),
           cause="No weights let a squashed or rectified output give a value outside its range: the error there stays.",
           remedy="A linear output layer, `--net mlp:...,output=identity`.")
def output_range(case: Case, *, beyond: float = 0.02) -> Iterator[Finding]:
    """Targets that are numbers lie outside the range of the last activation, by more than `beyond` of their own range."""
    facts = case.facts
    if facts.last not in RANGES or facts.classes or "low" not in facts.targets:
        return
    (least, most), low, high = RANGES[facts.last], facts.targets["low"], facts.targets["high"]
    slack = beyond * max(high - low, 1e-12)
    if low >= least - slack and high <= most + slack:
        return
    net = altered("net", facts.net, output="identity")
    yield Finding("output", f"targets go from {low:.3g} to {high:.3g} as they are encoded, and {facts.last} gives {least:g} to {most:g}",
                  remedy(net=net) if net else Remedy({}, f"leave out the {facts.last} behind the last layer"), {"low": low, "high": high})
