"""D36: steps that the weights' few digits round away."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("rounded-away", source="Micikevicius et al. (2017), https://arxiv.org/abs/1710.03740, section 3.1", code="D36",
           after=("too-much-dropout",), reads=("Looked", "Evaluated", "Finished"),
           cause="Neighbours among the numbers of bfloat16 lie a 128th to a 256th apart, by their size, those of float16 a 1024th to a "
                 "2048th: a step of less than half of that leaves a weight where it is, however often it is taken.",
           remedy="Weights in float32, as a module of one's own has them without `.bfloat16()` or `.half()`; `--precision bf16` computes "
                  "products in bfloat16 and leaves weights as they are.")
def rounded_away(case: Case, *, share: float = 0.9, looks: int = 5, fewest: int = 50, loss: float = 0.5) -> Iterator[Finding]:
    """In a layer whose weights have fewer digits than float32, a step leaves more than `share` of those that have a gradient unmoved.

    At `looks` looks in a row, from `fewest` steps on, while the loss is above `loss` times that of the constant answer, or the first one.
    """
    if case.step < fewest or len(case.looks) < looks:
        return
    recent, before = case.loss_between(0.8, 1.0), case.facts.constant_loss or case.first_loss
    if recent is None or before is None or not recent > loss * before:
        return
    worst = max(((min(shares), i) for i in range(len(case.layers)) if len(shares := unmoved(case, i, looks)) == looks), default=None)
    if worst is None or not worst[0] > share:
        return
    lost, i = middle(unmoved(case, worst[1], looks)), worst[1]
    yield Finding(case.layers[i], f"a step leaves {100 * lost:.0f} % of the weights of {case.layers[i]} that have a gradient where they "
                  f"are, at {looks} looks in a row: it is less than half of what lies between two of their numbers; the loss is "
                  f"{recent:.3g}",
                  Remedy({}, "hold the weights in float32: leave .bfloat16() or .half() out of the module; --precision bf16 computes in "
                             "bfloat16 all the same"), {"rounded": lost, "loss": recent})


def unmoved(case: Case, layer: int, looks: int) -> list[float]:
    """At the last looks, the share of a layer's weights with a gradient that the step leaves as they are; of those that say so."""
    rows = [at.look.more.get("rounded", ()) for at in case.looks[-looks:]]
    return [row[layer] for row in rows if layer < len(row) and row[layer] is not None]
