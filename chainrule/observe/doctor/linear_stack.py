"""D11: layers with nothing between them."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy


@diagnoses("linear-stack", source="Minsky & Papert (1969), Perceptrons", code="D11", reads=("Judged",), note=True, outcome=True,
           after=("one-class-only",), variants={"outcome": ("not-finite",)},
           cause="The product of two matrices is a matrix: both layers together can do no more than one, and part no classes that a plane "
                 "does not.",
           remedy="A nonlinearity between them: `--net mlp:...,activation=relu`.")
def linear_stack(case: Case) -> Iterator[Finding]:
    """Two dense layers follow each other with no nonlinearity between, and the width between is no bottleneck.

    A note when training has ended; a fault where the net is then no better than a constant answer.
    """
    facts = case.facts
    if not facts.merged or case.judged is None:
        return
    useless = case.judged.answers.get("high", -1.0) >= 0
    net = altered("net", facts.net, activation="relu")
    yield Finding(facts.merged[0], f"between {', '.join(facts.merged[:3])} and what follows there is no nonlinearity: together they are "
                                   "one matrix",
                  remedy(net=net, init="he") if net else Remedy({}, "put a nonlinearity between them"), {"pairs": len(facts.merged)},
                  variant="outcome" if useless else "", note=not useless)
