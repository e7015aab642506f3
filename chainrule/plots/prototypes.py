"""Pictures of nets of prototypes: the map of distances between neighbours, planes of single columns, the prototypes as pictures.

Ultsch & Siemon (1990), Proc. INNC 305; Kohonen (2001), https://doi.org/10.1007/978-3-642-56927-2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots.evaluation import image_grid
from chainrule.plots.style import INK, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PLANES, ACROSS = 16, 4      # columns that are drawn, and how many beside one another
FEW_LABELS = 400                 # units of a map on which each shows its label


def u_matrix(prototypes: Tensor, grid: tuple[int, int]) -> Tensor:
    """The mean distance of each unit (rows * columns, d) from its neighbours to the left, right, above and below: (rows, columns)."""
    rows, columns = grid
    units = prototypes.reshape(rows, columns, -1)
    total, count = torch.zeros(rows, columns, dtype=units.dtype), torch.zeros(rows, columns, dtype=units.dtype)
    for axis in range(2):
        size = units.shape[axis] - 1
        first, second = units.narrow(axis, 0, size), units.narrow(axis, 1, size)
        between = (first - second).square().sum(2).sqrt()
        for begin in (0, 1):
            total.narrow(axis, begin, size).add_(between)
            count.narrow(axis, begin, size).add_(1)
    return total / count.clamp(min=1)


@pictures("u-matrix", source="Ultsch & Siemon (1990), Proc. INNC 305", task="reconstruction", when=("test", "report"))
def u_matrix_picture(answer: Tensor, truth: Tensor, names: Sequence[str], prototypes: Tensor, grid: tuple[int, int],
                     labels: Sequence[str]) -> Figure:
    """How far each unit (k, d) of a map is from its neighbours: dark ridges part what is light. `labels` (k,) are written on the units."""
    heights = u_matrix(prototypes, grid)
    rows, columns = grid
    side = 0.34
    figure = figure_of(max(3.2, side * columns + 1.6), max(2.6, side * rows + 0.7))
    axes = figure.add_subplot()
    image = axes.imshow(heights.numpy(), cmap="Blues", interpolation="nearest", aspect="equal")
    _bare(axes)
    middle = (float(heights.min()) + float(heights.max())) / 2
    if len(labels) == rows * columns <= FEW_LABELS:
        for unit, label in enumerate(labels):
            at = unit // columns, unit % columns
            axes.text(at[1], at[0], label, ha="center", va="center", fontsize=7, color="white" if float(heights[at]) > middle else INK)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("mean distance from the neighbours", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)
    return figure


@pictures("component-planes", source="Kohonen (2001), https://doi.org/10.1007/978-3-642-56927-2, section 3.10", task="reconstruction",
          when=("test", "report"))
def component_planes(answer: Tensor, truth: Tensor, names: Sequence[str], prototypes: Tensor, grid: tuple[int, int],
                     size: tuple[int, ...] | None) -> Figure | None:
    """One number of the prototypes (k, d) over the map, for the first columns of a table; None where rows are pictures."""
    from matplotlib.figure import Figure

    if size is not None:
        return None
    shown = min(prototypes.shape[1], MOST_PLANES)
    across = min(shown, ACROSS)
    figure = Figure(figsize=(2.1 * across, 2.1 * math.ceil(shown / across)), layout="constrained")
    cells = figure.subplots(math.ceil(shown / across), across, squeeze=False)
    for at, axes in enumerate(cells.flat):
        _bare(axes)
        if at >= shown:
            axes.set_visible(False)
            continue
        plane = prototypes[:, at].reshape(grid)
        image = axes.imshow(plane.numpy(), cmap="viridis", interpolation="nearest", aspect="equal")
        axes.set_title(str(names[at]) if at < len(names) else str(at), fontsize=8, color=INK, pad=3)
        bar = figure.colorbar(image, ax=axes, shrink=0.75)
        bar.ax.tick_params(labelsize=6, colors=INK)
        bar.outline.set_visible(False)
    return figure


@pictures("prototypes", source="Kohonen (1982), https://doi.org/10.1007/BF00337288", task="reconstruction", when=("test", "report"))
def prototype_pictures(answer: Tensor, truth: Tensor, names: Sequence[str], prototypes: Tensor, size: tuple[int, ...] | None,
                       across: int) -> Figure | None:
    """The units (k, d) as pictures of `size` (channels, height, width), so many beside one another, as on a map; None for other rows."""
    if size is None:
        return None
    images = prototypes.reshape(-1, *size)
    low, high = images.amin(), images.amax()
    return image_grid((images - low) / (high - low).clamp(min=1e-12), columns=across)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
