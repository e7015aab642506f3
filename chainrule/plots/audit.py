"""What a check of data found, as one picture: labels that nets contradict, class by class, and distances with their threshold."""

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

NUMBERED = 20


@dataclass(frozen=True)
class Joint:
    """The calibrated confident joint (c, c), rows as labelled and columns in truth, and how many labels are suspected."""

    counts: Tensor
    suspected: int


@dataclass(frozen=True)
class Distances:
    """The distance (n,) of every row as `how` measures it, beyond `threshold` for `beyond` of them."""

    values: Tensor
    threshold: float
    beyond: int
    how: str


def suspicions(joint: Joint | None, distances: Distances | None, classes: Sequence[str]) -> Figure:
    """The calibrated confident joint without its diagonal, and the distances of all rows; what is None is left out."""
    panels = [panel for panel in (joint, distances) if panel is not None]
    if not panels:
        raise InputError("A picture of suspicions needs suspects or outliers; got neither. Check data with enough rows.")
    figure = figure_of(5.4 * len(panels), 4.5)
    cells = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(cells, panels, strict=True):
        if isinstance(panel, Joint):
            _joint(figure, axes, panel, classes)
        else:
            _distances(axes, panel)
    return figure


def _joint(figure: Figure, axes: Axes, joint: Joint, classes: Sequence[str]) -> None:
    off = joint.counts - torch.diag(joint.counts.diagonal())             # (c, c)
    image = axes.imshow(off.numpy(), cmap="Blues", vmin=0, vmax=max(float(off.max()), 1.0))
    c = len(classes)
    ticks = list(range(0, c, math.ceil(c / 40)))
    names = [shortened(str(classes[i])) for i in ticks]
    if c > 4 and max(map(len, names)) > 3:
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    if c <= NUMBERED:
        for i in range(c):
            for j in range(c):
                if off[i, j] >= 0.5:
                    axes.text(j, i, f"{float(off[i, j]):.0f}", ha="center", va="center", fontsize=8,
                              color="white" if off[i, j] > 0.6 * off.max() else INK)
    axes.set_xlabel("probable class", color=INK)
    axes.set_ylabel("class as labelled", color=INK)
    axes.set_title(f"{joint.suspected} labels suspected", fontsize=10, color=INK)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.set_label("estimated wrong labels (rows)", color=INK, fontsize=9)
    bar.outline.set_visible(False)


def _distances(axes: Axes, distances: Distances) -> None:
    known = distances.values[distances.values > 0]
    axes.set_xlabel(distances.how, color=INK)
    axes.set_ylabel("rows", color=INK)
    make_plain(axes)
    if not len(known):
        axes.set_title("no row apart", fontsize=10, color=INK)
        return
    low, high = float(known.min()), max(float(known.max()), float(known.min()) * 1.01)
    wide = high > 30 * low
    bins = torch.logspace(math.log10(low), math.log10(high), 41, dtype=torch.float64) if wide else torch.linspace(low, high, 41)
    axes.hist(known.numpy(), bins=bins.tolist(), color=COLOURS[0], alpha=0.75)
    axes.set_xscale("log" if wide else "linear")
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    if math.isfinite(distances.threshold):
        axes.axvline(distances.threshold, color=COLOURS[1], linewidth=1.6, linestyle="--")
        axes.text(distances.threshold, 0.98, f"threshold {distances.threshold:.3g} ", transform=axes.get_xaxis_transform(), va="top",
                  ha="right", color=COLOURS[1], fontsize=9)
    axes.set_title(f"{distances.beyond} rows beyond ({distances.beyond / max(len(distances.values), 1):.2%})", fontsize=10, color=INK)
