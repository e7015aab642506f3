"""Pictures beside what an answer hangs on in them, and the maps that a layer gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.plots.maps import picture
from chainrule.plots.style import INK, figure_of, panels, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MAPS = 64


def beside(pictures: Tensor, maps: Tensor, captions: Sequence[str], what: str, *, signed: bool) -> Figure:
    """Each picture (n, c, h, w), uint8, under its caption, and below it its map (n, h, w).

    All maps are on one scale, from white, or with `signed` from blue below zero to red above it.
    """
    figure = figure_of(1.5 * len(pictures) + 0.9, 3.4)
    cells = figure.subplots(2, len(pictures), squeeze=False)
    limit = float(maps.abs().max()) or 1.0
    for column, (pixels, values, caption) in enumerate(zip(pictures, maps, captions, strict=True)):
        _show(cells[0, column], pixels)
        cells[0, column].set_title(caption, fontsize=8, color=INK, pad=3)
        scale = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if signed else {"cmap": "Reds", "vmin": 0.0, "vmax": limit}
        image = cells[1, column].imshow(values.cpu().numpy(), interpolation="nearest", **scale)
        cells[1, column].axis("off")
    bar = figure.colorbar(image, ax=cells[1, :], shrink=0.8, aspect=14, pad=0.02)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.set_label(what, color=INK, fontsize=8)
    bar.outline.set_visible(False)
    return figure


def layer_maps(pixels: Tensor, maps: Tensor, caption: str) -> Figure:
    """The picture (c, h, w), uint8, and the first maps (k, h', w') that a layer gives for it, each from its least to its greatest value."""
    few = maps[:MOST_MAPS]
    figure, cells = panels(len(few) + 1, 9, 0.95, 1.0)
    _show(cells[0], pixels)
    for one, axes in zip(few, cells[1:], strict=True):
        axes.imshow(one.cpu().numpy(), cmap="viridis", interpolation="nearest")
    figure.suptitle(shortened(caption, 90), fontsize=9, color=INK)
    return figure


def _show(axes: Axes, pixels: Tensor) -> None:
    """A picture (c, h, w) in grey, from its darkest to its brightest pixel, or in colour."""
    axes.imshow(picture(pixels.cpu()), cmap="gray", interpolation="nearest")
    axes.axis("off")
