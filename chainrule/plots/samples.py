"""The picture of samples in the plane beside the rows that they should look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.plots.style import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, MOST = 2.6, 4     # inches of a panel, and how many stand beside one another


def planes(rows: Tensor, samples: Mapping[str, Tensor]) -> Figure:
    """A panel for each name: its samples (m, 2) over the rows (n, 2)."""
    from matplotlib.figure import Figure

    across = min(len(samples), MOST)
    down = math.ceil(len(samples) / across)
    figure = Figure(figsize=(SIDE * across, SIDE * down), layout="constrained")
    reach = 1.4 * float(rows.abs().max())
    for axes, (name, points) in zip(figure.subplots(down, across, squeeze=False).flat, samples.items(), strict=False):
        axes.plot(rows[:, 0], rows[:, 1], ".", color=FAINT, markersize=4)
        axes.plot(points[:, 0], points[:, 1], ".", color=COLOURS[1], markersize=1.6, alpha=0.6)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        axes.set_aspect("equal")
        axes.set_title(name, fontsize=8, color=INK)
        axes.spines[:].set_color(FAINT)
    for axes in figure.axes[len(samples) :]:
        axes.set_visible(False)
    return figure
