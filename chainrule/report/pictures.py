"""The pictures of a report and of a test, from plain values: worst mistakes, first-layer weights, regimes of experts, curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chainrule.evaluate import calibration, curves
from chainrule.observe.layers import first_weights
from chainrule.plots.evaluation import (
    confusion_matrix,
    image_grid,
    precision_recall,
    predicted_against_true,
    reliability,
    residuals,
    roc,
    weight_pictures,
)
from chainrule.plots.figure import to_png
from chainrule.plots.gate import regimes

WORST, MOST_WEIGHTS, MOST_POINTS = 24, 50, 2000
Picture = tuple[str, bytes]


def classification_plots(probabilities: Tensor, truth: Tensor, classes: Sequence[str]) -> dict[str, bytes]:
    """Confusion matrix, calibration, ROC and precision-recall as PNG by name, from probabilities (n, classes) and class numbers (n,)."""
    matrix = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    matrix.index_put_((truth, probabilities.argmax(1)), torch.tensor(1), accumulate=True)
    present = [c for c in range(len(classes)) if 0 < int((truth == c).sum()) < len(truth)]
    points = {classes[c]: curves.operating_points(probabilities[:, c], truth == c)
              for c in (present[1:] if len(classes) == 2 else present)}
    figures = {"confusion": confusion_matrix(matrix.tolist(), classes),
               "calibration": reliability(calibration.reliability(probabilities, truth))}
    if points:
        figures |= {"roc": roc(points), "precision-recall": precision_recall(points)}
    return {name: to_png(figure) for name, figure in figures.items()}


def regression_plots(predictions: Tensor, truth: Tensor, names: Sequence[str]) -> dict[str, bytes]:
    """Predicted against true, and residuals, as PNG by name, from values (n, k) in the targets' units."""
    return {"predicted": to_png(predicted_against_true(predictions, truth, names)),
            "residuals": to_png(residuals(predictions, truth, names))}


def worst_rows(probabilities: Tensor, truth: Tensor) -> list[int]:
    """The cases that were answered wrong with most certainty, the surest first."""
    sureness = probabilities.amax(1) * (probabilities.argmax(1) != truth)    # (n,)
    return [int(i) for i in sureness.argsort(descending=True)[:WORST] if sureness[i] > 0]


def worst_mistakes(images: Tensor, probabilities: Tensor, truth: Tensor, classes: Sequence[str]) -> Picture:
    """Pictures (k, channels, height, width) that were answered wrong, with what was answered (k, classes) and what they are (k,)."""
    titles = [f"{classes[int(t)]} taken for {classes[int(p.argmax())]}, {float(p.max()):.0%}"
              for p, t in zip(probabilities, truth, strict=True)]
    return f"The {len(images)} validation pictures it was surest of and wrong about", to_png(image_grid(images, titles, columns=6))


def first_layer(module: nn.Module, shape: tuple[int, int, int]) -> list[Picture]:
    """The first layer's weights or filters as pictures, where inputs are pictures of this shape (channels, height, width)."""
    first = first_weights(module, shape)
    if first is None:
        return []
    weights, size = first                                                    # (k, channels, height, width)
    figure = weight_pictures(weights[:MOST_WEIGHTS].flatten(1), size)
    shown = f"the first {MOST_WEIGHTS} of {len(weights)}" if len(weights) > MOST_WEIGHTS else f"all {len(weights)}"
    return [(f"Weights of the first layer, {shown}", to_png(figure))]


def expert_regimes(gate: Callable[[Tensor], Tensor], points: Tensor, names: Sequence[str]) -> Picture:
    """Which expert is asked where over one or two inputs; `gate` and `points` (n, d) are in the units of the data."""
    shown = points[torch.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).long()]
    return "Which expert is asked where", to_png(regimes(gate, shown, tuple(names) or ("first input", "second input")))
