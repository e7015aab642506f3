"""The pictures of a report and of a test, from plain values: worst mistakes, first-layer weights, samples, regimes of experts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chainrule.observe.layers import first_weights
from chainrule.plots.figure import to_file
from chainrule.plots.gate import regimes
from chainrule.report.bitmap import of_pixels, of_several, of_weights
from chainrule.report.facts import Picture, Wrong

MOST_WEIGHTS, MOST_POINTS = 50, 2000
MOST_MISTAKES = 24


def worst_mistakes(images: Tensor, probabilities: Tensor, truth: Tensor, classes: Sequence[str]) -> list[Wrong]:
    """Pictures (k, channels, height, width) that were answered wrong, each with what it is (k,) and its two best guesses (k, classes)."""
    several = []
    for image, p, t in list(zip(images, probabilities, truth, strict=True))[:MOST_MISTAKES]:
        several.append(Wrong(of_pixels(image), guesses(p, int(t), classes)))
    return several


def guesses(probabilities: Tensor, truth: int, classes: Sequence[str]) -> list[str]:
    """What a case is, and the two likeliest answers to it with their probabilities."""
    best = probabilities.argsort(descending=True)[:2].tolist()
    return [f"is {classes[truth]}", "taken for " + ", then ".join(f"{classes[c]} ({100 * float(probabilities[c]):.0f} %)" for c in best)]


def first_layer(module: nn.Module, shape: tuple[int, int, int]) -> list[Picture]:
    """The first layer's weights or filters as pictures, where inputs are pictures of this shape (channels, height, width)."""
    first = first_weights(module, shape)
    if first is None:
        return []
    weights, size = first                                                    # (k, channels, height, width)
    shown = f"the first {MOST_WEIGHTS} of {len(weights)}" if len(weights) > MOST_WEIGHTS else f"all {len(weights)}"
    sheet, limit = of_weights(weights[:MOST_WEIGHTS].detach().cpu().double().reshape(-1, *size))
    colours = "colours about grey" if size[0] == 3 else "blue is negative, white zero, red positive"
    return [(f"Weights of the first layer, {shown}; {colours}, the strongest at {limit:.2g}", sheet)]


def sample_pictures(images: Tensor, caption: str) -> Picture:
    """Pictures (n, channels, height, width) of uint8 that a net made, side by side."""
    return caption, of_several(images)


def expert_regimes(gate: Callable[[Tensor], Tensor], points: Tensor, names: Sequence[str]) -> Picture:
    """Which expert is asked where over one or two inputs; `gate` and `points` (n, d) are in the units of the data."""
    shown = points[torch.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).long()]
    return "Which expert is asked where", to_file(regimes(gate, shown, tuple(names) or ("first input", "second input")))
