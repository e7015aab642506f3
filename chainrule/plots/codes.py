"""Pictures of codes: rows where their codes lie, and sheets of pictures that are given back, gone between, decoded or alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots.style import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12           # pictures side by side, with what is given back below
WIDTH = 9.0          # inches of a sheet at most
COLOURED = 20        # classes with a colour each


@pictures("reconstructions", source="Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647", task="reconstruction",
          when=("test", "report"))
def reconstructions(answer: Tensor, truth: Tensor, names: Sequence[str], picture_shape: tuple[int, ...]) -> Figure | None:
    """The first pictures and, below each, what the net gives back of it: rows (n, d) of pictures (channels, height, width)."""
    few = min(SHOWN, len(truth))
    if few == 0:
        return None
    both = torch.stack([truth[:few], answer[:few]]).reshape(2, few, *picture_shape)
    return sheet(both, ("original", "given back"), "Originals, and what passes through the code")


def sheet(rows: Tensor, names: Sequence[str] = (), title: str = "") -> Figure:
    """Pictures (rows, columns, channels, height, width) side by side, each row under its name, on one scale.

    Numbers in [0, 1] are shown as they are, others from the least to the greatest; other than one or three channels as their mean.
    """
    from matplotlib.figure import Figure

    real = rows.detach().cpu().double()
    low, high = float(real.min()), float(real.max())
    if low < 0 or high > 1:
        real = (real - low) / ((high - low) or 1.0)
    if real.shape[2] not in (1, 3):
        real = real.mean(2, keepdim=True)
    down, across, channels, height, width = real.shape
    gap = max(1, height // 14)
    page = torch.ones(channels, down * (height + gap) - gap, across * (width + gap) - gap, dtype=torch.float64)
    for i in range(down):
        for j in range(across):
            page[:, i * (height + gap) : i * (height + gap) + height, j * (width + gap) : j * (width + gap) + width] = real[i, j]
    inches = min(WIDTH, 0.75 * across)
    figure = Figure(figsize=(inches + 1.1 * bool(names), max(0.9, inches * page.shape[1] / page.shape[2]) + 0.35 * bool(title)),
                    layout="constrained")
    axes = figure.subplots()
    axes.imshow(page.movedim(0, -1).numpy() if channels == 3 else page[0].numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([(i + 0.5) * (height + gap) - gap for i in range(down)] if names else [], list(names))
    axes.tick_params(length=0, labelsize=8, colors=INK)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=9, color=INK, loc="left")
    return figure


def scatter(places: Tensor, labels: Tensor | None, classes: Sequence[str], axes_names: tuple[str, str], title: str) -> Figure:
    """Rows at the places (n, 2) of their codes, coloured by their classes (n,), whose names stand at their means; grey without any."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.0), layout="constrained")
    axes = figure.subplots()
    axes.grid(color=FAINT, alpha=0.35, linewidth=0.6)
    x, y = places.double().cpu().T.tolist()
    if labels is None or not classes or len(classes) > COLOURED:
        axes.scatter(x, y, s=9, color=COLOURS[0], alpha=0.6, linewidth=0)
    else:
        table = COLOURS if len(classes) <= len(COLOURS) else [colormaps["tab20"](i) for i in range(COLOURED)]
        for number, name in enumerate(classes):
            mine = (labels == number).nonzero()[:, 0]
            if not len(mine):
                continue
            points = places[mine].double()
            axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=11, color=table[number], alpha=0.75, linewidth=0, label=str(name))
            middle = points.median(0).values
            axes.annotate(str(name), (float(middle[0]), float(middle[1])), fontsize=11, weight="bold", color=INK, ha="center", va="center",
                          bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": table[number], "alpha": 0.85})
    axes.set_xlabel(axes_names[0], color=INK, fontsize=9)
    axes.set_ylabel(axes_names[1], color=INK, fontsize=9)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return figure
