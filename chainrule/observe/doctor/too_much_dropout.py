"""D22: dropout that leaves too little."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy


@diagnoses("too-much-dropout", source="Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html", code="D22",
           reads=("Evaluated", "Finished"), after=("rate-above-curvature",),
           cause="Of a layer in which nearly every unit is dropped nothing is left to learn from.",
           remedy="`--net mlp:...,dropout=0.2` or less.")
def too_much_dropout(case: Case, *, share: float = 0.8, loss: float = 0.7, fewest: int = 100) -> Iterator[Finding]:
    """A layer drops `share` of its units or more, and after `fewest` steps the loss is above `loss` times that of the constant answer."""
    facts = case.facts
    if facts.dropout < share or facts.constant_loss is None or case.step < fewest:
        return
    now = case.evaluations[-1].train.get("loss") if case.evaluations else case.loss_between(0.8, 1.0)
    if now is None or not now > loss * facts.constant_loss:
        return
    net = altered("net", facts.net, dropout=(0.2,)) or altered("net", facts.net, dropout=0.2)
    yield Finding("dropout", f"{100 * facts.dropout:.0f} % of the units of a layer are dropped, and the loss is {now:.3g}; that of the "
                  f"constant answer is {facts.constant_loss:.3g}", remedy(net=net) if net else Remedy({}, "drop a fifth of them"),
                  {"dropout": facts.dropout, "loss": now})
