"""Pictures of texts: how much each symbol of a passage surprises, and symbols where their vectors lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.core.text import visible
from chainrule.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

LINE, LINES = 64, 10   # symbols that are shown
MOST_NATS = 8.0        # from which on a symbol is as dark as can be


@pictures("surprise", source="Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x", task="language", when=("test", "report"))
def surprise(answer: Tensor, truth: Tensor, names: Sequence[str]) -> Figure | None:
    """The symbols of a passage, the darker the less their net expected them: answers (n, t, classes) and the truth (n, t)."""
    from matplotlib.figure import Figure

    shares, symbols = answer.flatten(0, 1), truth.flatten()
    if not len(symbols):
        return None
    shares, symbols = shares[: LINE * LINES], symbols[: LINE * LINES]
    nats = -shares.gather(1, symbols.clamp(min=0)[:, None])[:, 0].double().clamp(min=1e-300).log()
    letters = [visible(names[i])[:1] if len(names[i]) == 1 else visible(names[i]).replace("\n", "") for i in symbols.tolist()]
    widths = torch.tensor([float(len(letter)) for letter in letters])
    ends = widths.cumsum(0)
    line = LINE if float(widths.max()) == 1 else 100.0
    figure = Figure(figsize=(9.6, 0.42 * math.ceil(float(ends[-1]) / line) + 0.9))
    axes = figure.subplots()
    at, row = 0.0, 0
    for letter, width, cost in zip(letters, widths.tolist(), nats.tolist(), strict=True):
        if at + width > line:
            at, row = 0.0, row + 1
        dark = min(cost / MOST_NATS, 1.0)
        axes.add_patch(_box(at, -row, width, dark))
        axes.text(at + width / 2, -row + 0.5, letter, ha="center", va="center", fontsize=8, family="monospace",
                  color="white" if dark > 0.55 else INK)
        at += width
    axes.set_xlim(0, line)
    axes.set_ylim(-row, 1)
    axes.axis("off")
    axes.set_title(f"Surprise at each of {len(symbols):,} symbols, white 0 to red {MOST_NATS:g} nats; mean {float(nats.mean()):.3f}",
                   fontsize=9, color=INK, loc="left")
    return figure


def _box(x: float, y: float, width: float, dark: float) -> Patch:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, 1, facecolor=(1 - 0.25 * dark, 1 - 0.85 * dark, 1 - 0.85 * dark), edgecolor="none")


def symbol_map(places: Tensor, names: Sequence[str]) -> Figure:
    """Symbols at their places (n, 2)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 6.4))
    axes = figure.subplots()
    x, y = places.T.tolist()
    axes.scatter(x, y, s=4, color="#bbbbbb")
    for at, name in zip(zip(x, y, strict=True), names, strict=True):
        axes.annotate(visible(name).replace("\n", ""), at, fontsize=7, color=INK, ha="center", va="center")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("Symbols where their vectors point, in the two directions in which they differ most", fontsize=9, color=INK, loc="left")
    return figure
