"""Gradients by depth, drawn: how strong the loss's slope is at every layer of several nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chainrule.plots.style import COLOURS, INK, figure_of, make_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 1e-30       # below which strengths are drawn as this


def slopes_by_layer(strengths: Mapping[str, Sequence[float]]) -> Figure:
    """The standard deviation of the gradient at each layer's output, the lowest layer first, one line a net."""
    figure = figure_of(6.4, 3.8)
    axes = figure.subplots()
    make_plain(axes)
    for number, (name, values) in enumerate(strengths.items()):
        places = [k / max(len(values) - 1, 1) for k in range(len(values))]
        axes.plot(places, [max(value, LEAST) for value in values], color=COLOURS[number % len(COLOURS)], marker=".", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("layer, as a share of the depth", color=INK)
    axes.set_ylabel("standard deviation of the gradient", color=INK)
    axes.legend(frameon=False, fontsize=8)
    return figure
