"""D35: the gradient grows step by step on its way back through a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import At, Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.rate_too_high import clip


@diagnoses("exploding-through-time", source="Bengio, Simard & Frasconi (1994), https://doi.org/10.1109/72.279181; Pascanu, Mikolov & "
           "Bengio (2012), https://arxiv.org/abs/1211.5063", code="D35", after=("exploding-gradient",), unless=("init-scale",),
           cause="The weights from step to step lengthen the gradient each time it goes back by one: over a long sequence exponentially.",
           remedy="A limit to its length, `--rule backprop:clip=1` or `--rule bptt:clip=1`, `--init orthogonal`, or `--net lstm`.")
def exploding_through_time(case: Case, *, ratio: float = 1e3, looks: int = 2, steps: int = 8, steep: float = 20.0,
                           norm: float = 50.0) -> Iterator[Finding]:
    """In sequences of `steps` or more, the gradient at the first quarter is above `ratio` times that at the last: median of `looks`.

    Or above `steep` times it while the gradient of the weights is longer than `norm`.
    """
    ratios = through_time(case.looks[-10:], steps)
    length = middle([n for at in case.looks[-10:] if (n := at.number("norm")) is not None])
    if len(ratios) < looks or not (middle(ratios) > ratio or (middle(ratios) > steep and length > norm)):
        return
    now = middle(ratios)
    yield Finding("through time", f"the gradient at the first quarter of a sequence is {now:.3g} times that at its last quarter (median of "
                  f"{len(ratios)} looks)", clip(case), {"ratio": now})


def through_time(looks: Sequence[At], steps: int) -> list[float]:
    """At each look, the mean norm of the gradient in the first quarter of a sequence over that in the last."""
    ratios = []
    for at in looks:
        norms = list(at.look.through_time)                                  # by steps back from the end
        quarter = len(norms) // 4
        if len(norms) >= steps and fmean(norms[:quarter]) > 0:
            ratios.append(fmean(norms[-quarter:]) / fmean(norms[:quarter]))
    return ratios
