"""D16: the gradient grows beyond all measure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.init_scale import judged
from chainrule.observe.doctor.rate_too_high import clip

RECENT = 50        # looks by which what is usual is known


@diagnoses("exploding-gradient", source="Pascanu, Mikolov & Bengio (2012), https://arxiv.org/abs/1211.5063", code="D16",
           after=("saturated",), unless=("init-scale", "input-scale", "rate-above-curvature"),
           cause="Layer by layer, or step by step, the gradient is multiplied by more than one: a single step then throws the weights far "
                 "away.",
           remedy="A limit to its length, `--rule backprop:clip=1`, a lower rate, `--init orthogonal`.")
def exploding_gradient(case: Case, *, norm: float = 100.0, jump: float = 50.0) -> Iterator[Finding]:
    """The gradient of all weights is longer than `norm`, and than `jump` times what is usual where it is usually longer than 6.

    For losses of classes and of numbers, over the deviation of the targets where that is above one. What is so from the start is D13.
    """
    if not judged(case.facts) or len(case.looks) < 2:
        return
    if any(at.moved > 1 for at in case.looks[:5]):           # steps that long throw the weights away themselves, see D19
        return
    at, before = case.looks[-1], [n for one in case.looks[-RECENT:-1] if (n := one.number("norm")) is not None]
    length, usual = at.number("norm"), middle(before)
    if length is None or at.step == 0 or not before:
        return
    limit = max(norm * case.facts.scale, jump * min(usual, 6.0) if math.isfinite(usual) else 0.0)
    if not length > limit:
        return
    yield Finding("gradient", f"after step {at.step:,} the gradient is {length:.3g} long, {length / usual:.3g} times what was usual before "
                              f"({usual:.3g})" if usual else f"after step {at.step:,} the gradient is {length:.3g} long",
                  clip(case), {"norm": length, "usual": usual})
