"""The pictures of a regression: answers beside the truth, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots import evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pictures("predicted", source="Galton (1886), https://doi.org/10.2307/2841583", task="regression", when=("test",))
def predicted(predictions: Tensor, truth: Tensor, names: Sequence[str]) -> Figure:
    """Predictions (n, k) against the truth (n, k), in the targets' units."""
    return evaluation.predicted_against_true(predictions, truth, names)


@pictures("residuals", source="Anscombe (1973), https://doi.org/10.1080/00031305.1973.10478966", task="regression", when=("test",))
def residuals(predictions: Tensor, truth: Tensor, names: Sequence[str]) -> Figure:
    """What is left of the truth, by prediction."""
    return evaluation.residuals(predictions, truth, names)
