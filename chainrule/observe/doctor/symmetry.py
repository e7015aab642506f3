"""D12: all units of a hidden layer begin alike and stay alike."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.init_scale import suited_init
from chainrule.observe.doctor.remedy import remedy


@diagnoses(source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", code="D12", reads=("Beginning",),
           after=("loss-sign",),
           cause="Units with the same weights, read with the same weights, have the same gradient: they learn the same for ever, and the "
                 "layer is as one unit.",
           remedy="Weights drawn at random: `--init he` or `--init xavier`.")
def symmetry(case: Case) -> Iterator[Finding]:
    """All units of a hidden layer begin with equal weights and are read with equal weights, and no dropout tells them apart."""
    facts = case.facts
    if not facts.alike or facts.dropout > 0:
        return
    yield Finding(facts.alike[0], f"all units of {', '.join(facts.alike[:4])}{' and more' if len(facts.alike) > 4 else ''} begin with the "
                  "same weights and are read with the same weights, so that they stay alike", remedy(init=suited_init(facts)),
                  {"layers": len(facts.alike)}, variant="")
