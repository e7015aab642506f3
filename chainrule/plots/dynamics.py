"""The states of nets that are left to themselves, step by step: some units of each, one net below the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.plots.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = 4     # drawn of each net


def trajectories(states: Mapping[str, Tensor]) -> Figure:
    """States (steps, units) of each net under its name, its first units as lines over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.6 * len(states) + 0.4), layout="constrained")
    cells = figure.subplots(len(states), 1, sharex=True, squeeze=False)
    for axes, (name, values) in zip(cells[:, 0], states.items(), strict=True):
        for unit, colour in zip(values.T[:UNITS].tolist(), COLOURS, strict=False):
            axes.plot(unit, color=colour, linewidth=0.9)
        axes.set_ylim(-1.05, 1.05)
        axes.set_title(name, fontsize=9, color=INK, loc="left")
        axes.tick_params(labelsize=7, colors=INK)
    cells[-1, 0].set_xlabel("step", fontsize=9, color=INK)
    return figure
