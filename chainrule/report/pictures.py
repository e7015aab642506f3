"""The pictures of a report and of a test, from plain values: worst mistakes, first-layer weights, regimes of experts, curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chainrule.observe.layers import first_weights
from chainrule.plots.evaluation import (
    image_grid,
    weight_pictures,
)
from chainrule.plots.figure import to_png
from chainrule.plots.gate import regimes

MOST_WEIGHTS, MOST_POINTS = 50, 2000
Picture = tuple[str, bytes]


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
