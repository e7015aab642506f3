"""Histograms of what layers give and of the gradient there; the regions a classifier of two inputs divides the plane into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.plots.style import COLOURS, INK, figure_of, make_plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LAYERS = 20
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Spread:
    """A layer's name and its values."""

    name: str
    activations: Tensor
    gradients: Tensor


def histograms(layers: Sequence[Spread]) -> Figure:
    """For each layer, from below, what it gives (above) and the gradient there (below), with means and standard deviations."""
    if not layers:
        raise InputError("Histograms need at least one layer; got none.")
    shown = list(layers)[:MOST_LAYERS]
    figure = figure_of(max(1.75 * len(shown), 4.5), 4.6)
    cells = figure.subplots(2, len(shown), squeeze=False)
    for column, layer in enumerate(shown):
        for row, (values, colour) in enumerate(((layer.activations, COLOURS[0]), (layer.gradients, COLOURS[1]))):
            _one(cells[row, column], values, colour)
        cells[0, column].set_title(f"{shortened(layer.name)}\n{_figures(layer.activations)}", fontsize=8, color=INK)
        cells[1, column].set_title(_figures(layer.gradients), fontsize=8, color=INK)
    cells[0, 0].set_ylabel("share of activations", color=INK, fontsize=9)
    cells[1, 0].set_ylabel("share of gradients", color=INK, fontsize=9)
    figure.supxlabel("value (each panel on its own scale)", fontsize=9, color=INK)
    return figure


def _figures(values: Tensor) -> str:
    v = values.double()
    return f"mean {float(v.mean()):.2g}\nsd {float(v.std(correction=0)):.2g}"


def _one(axes: Axes, values: Tensor, colour: str) -> None:
    v = values.detach().double().flatten().cpu()
    v = v[v.isfinite()]
    axes.set_yticks([])
    axes.tick_params(labelsize=7, colors=INK, length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not len(v):
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", fontsize=8, color=INK)
        return
    low, high = float(v.min()), float(v.max())
    if high - low <= 1e-30:
        axes.text(0.5, 0.5, f"all {low:.2g}", transform=axes.transAxes, ha="center", fontsize=8, color=INK)
        return
    counts = torch.histc(v, 40, low, high) / len(v)
    edges = torch.linspace(low, high, 41, dtype=torch.float64)
    axes.stairs(counts.numpy(), edges.numpy(), fill=True, color=colour, alpha=0.8)
    zero = float((v == 0).double().mean())
    if zero > 0.2:                                                          # one bar would hide the others
        others = counts[torch.searchsorted(edges, 0.0).clamp(1, 40) - 1 != torch.arange(40)]
        axes.set_ylim(0, max(float(others.max()) * 1.6, 1e-9))
        axes.text(0.97, 0.95, f"{zero:.0%} zero", transform=axes.transAxes, ha="right", va="top", fontsize=7, color=INK)
    ticks = [low, high] if low >= 0 or high <= 0 else [low, 0.0, high]
    axes.set_xticks(ticks, [f"{t:.2g}" for t in ticks])


def boundary(across: Tensor, up: Tensor, chances: Tensor, points: Tensor, y: Tensor, classes: Sequence[str], *,
             labels: tuple[str, str]) -> Figure:
    """Regions by the likeliest class, by `chances` (up, across, classes), paler where less sure; points (n, 2) of class `y`."""
    if chances.shape[:2] != (len(up), len(across)) or chances.shape[-1] != len(classes):
        raise InputError(f"Regions need probabilities ({len(up)}, {len(across)}, {len(classes)}); got {tuple(chances.shape)}.")
    from matplotlib.colors import to_rgb

    figure = figure_of(6.2, 5.0)
    axes = figure.add_subplot()
    palette = torch.tensor([to_rgb(COLOURS[i % len(COLOURS)]) for i in range(len(classes))], dtype=torch.float64)   # (classes, 3)
    sure, which = chances.double().max(-1)                                      # (up, across)
    strength = ((sure - 1 / len(classes)) / (1 - 1 / len(classes))).clamp(0, 1)[..., None]
    picture = 1 - (1 - palette[which]) * (0.15 + 0.35 * strength)
    extent = (float(across[0]), float(across[-1]), float(up[0]), float(up[-1]))
    axes.imshow(picture.numpy(), origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    if len(which.unique()) > 1:
        for c in which.unique().tolist():
            others = torch.cat([chances[..., :c], chances[..., c + 1 :]], -1).amax(-1).double()
            axes.contour(across.numpy(), up.numpy(), (chances[..., c].double() - others).numpy(), levels=[0.0], colors=INK, linewidths=0.8)
    size = 26 if len(points) <= 500 else max(4, round(26 * math.sqrt(500 / len(points))))
    for c, name in enumerate(classes):
        mine = points[y == c]
        axes.scatter(mine[:, 0].tolist(), mine[:, 1].tolist(), s=size, color=COLOURS[c % len(COLOURS)], marker=MARKERS[c % len(MARKERS)],
                     edgecolors="white", linewidths=0.5, label=shortened(str(name)), zorder=3)
    axes.set_xlabel(labels[0], color=INK)
    axes.set_ylabel(labels[1], color=INK)
    axes.set_title("regions as the net divides them, paler where it is less sure", fontsize=10, color=INK)
    make_plain(axes)
    axes.grid(visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK,
                  title="training points", title_fontsize=9)
    return figure
