"""Bias: how far answers lie above the truth on average, which squares and absolute values do not show."""

from __future__ import annotations

from torch import Tensor

from chainrule.core.registry import measures


@measures("bias", source="Gauss (1823), Theoria combinationis", task="regression", better="lower")
def bias(answer: Tensor, truth: Tensor) -> Tensor:
    """The mean error (n,) of each case over its targets, in their units: above 0 where answers are too high."""
    return (answer.double() - truth.double()).mean(1)
