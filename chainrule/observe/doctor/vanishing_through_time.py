"""D15: the gradient shrinks step by step on its way back through a sequence."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.exploding_through_time import through_time
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.init_scale import RECURRENT
from chainrule.observe.doctor.remedy import Remedy, remedy


@diagnoses("vanishing-through-time", source="Hochreiter (1991), diploma thesis, TU Munich; Bengio, Simard & Frasconi (1994), "
           "https://doi.org/10.1109/72.279181", code="D15", reads=("Looked", "Evaluated"), after=("init-scale",),
           cause="The weights from step to step shorten the gradient each time it goes back by one: what came early is not learned from.",
           remedy="Gates: `--net lstm` or `--net gru`; `--init orthogonal`; shorter windows, `--rule bptt:window=32`.")
def vanishing_through_time(case: Case, *, ratio: float = 1e-7, looks: int = 2, steps: int = 12, small: float = 1e-4,
                           stuck: float = 0.97, fewest: int = 200) -> Iterator[Finding]:
    """In sequences of `steps` or more, the gradient at the first quarter is below `ratio` of that at the last: median of `looks`.

    Or below `small` of it, and after at least `fewest` steps the loss of the last fifth is above `stuck` times the first.
    """
    ratios = through_time(case.looks[:20], steps)
    if len(ratios) < looks or not middle(ratios) < small:
        return
    recent, before = case.loss_between(0.8, 1.0), case.first_loss
    idle = case.step >= fewest and recent is not None and before is not None and recent > stuck * before
    if not (middle(ratios) < ratio or idle):
        return
    now = middle(ratios)
    yield Finding("through time", f"the gradient at the first quarter of a sequence is {now:.1e} of that at its last quarter (median of "
                  f"{len(ratios)} looks)", cure(case.facts), {"ratio": now})


def cure(facts: Facts) -> Remedy:
    """Weights that lengthen nothing and shorten nothing; where a net has these, gates."""
    family, _, options = facts.net.partition(":")
    if family in RECURRENT and not (facts.init == "orthogonal" or (family == "rnn" and not facts.init)):
        return remedy("or gates: --net lstm" if family == "rnn" else "", init="orthogonal")
    gated = remedy(net=f"lstm:{options}" if options else "lstm") if family == "rnn" else Remedy()
    return gated if gated.options else remedy(net="lstm")
