"""D28: codes that say nothing of their rows."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("posterior-collapse", source="Bowman et al. (2016), https://arxiv.org/abs/1511.06349; Kingma et al. (2016), "
           "https://arxiv.org/abs/1606.04934",
           code="D28", after=("not-finite",),
           cause="The price of a code is higher than what it helps: the encoder answers the prior whatever the row is, and the decoder "
                 "learns to do without.",
           remedy="A lower price of codes at first, wider codes' decoders weaker, fewer codes.")
def posterior_collapse(case: Case, *, nats: float = 0.01, share: float = 0.9, looks: int = 5, fewest: int = 50) -> Iterator[Finding]:
    """More than `share` of the codes tell less than so many `nats` of their rows, at the last `looks`, from `fewest` steps on."""
    recent = [list(at.look.divergence) for at in case.looks if at.step >= fewest and at.look.divergence][-looks:]
    if len(recent) < looks:
        return
    shares = [sum(one < nats for one in divergence) / len(divergence) for divergence in recent]
    if not min(shares) > share:
        return
    yield Finding("code", f"{100 * shares[-1]:.0f} % of {len(recent[-1])} codes tell less than {nats:g} nats of their rows at {looks} "
                          "looks in a row",
                  Remedy({}, "charge less for codes while training begins, or use fewer of them"), {"share": shares[-1]})
