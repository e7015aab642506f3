"""What a check of data found, as one picture: labels that nets contradict, class by class, and distances with their threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from chainrule.core.errors import InputError
from chainrule.evaluate.plots import COLOURS, INK, _figure, _plain, _short
from chainrule.evaluate.suspects import Outliers, Suspects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 20


def suspicions(suspects: Suspects | None, outliers: Outliers | None, classes: Sequence[str]) -> Figure:
    """The calibrated confident joint without its diagonal, and the distances of all rows; what is None is left out."""
    drawn = [d for d in (suspects, outliers) if d is not None]
    if not drawn:
        raise InputError("A picture of suspicions needs suspects or outliers; got neither. Check data with enough rows.")
    figure = _figure(5.4 * len(drawn), 4.5)
    cells = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, each in zip(cells, drawn, strict=True):
        if isinstance(each, Suspects):
            _joint(figure, axes, each, classes)
        else:
            _distances(axes, each)
    return figure


def _joint(figure: Figure, axes: Axes, suspects: Suspects, classes: Sequence[str]) -> None:
    off = suspects.joint - torch.diag(suspects.joint.diagonal())             # (c, c)
    image = axes.imshow(off.numpy(), cmap="Blues", vmin=0, vmax=max(float(off.max()), 1.0))
    c = len(classes)
    ticks = list(range(0, c, math.ceil(c / 40)))
    names = [_short(str(classes[i])) for i in ticks]
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
    axes.set_title(f"{len(suspects.rows)} labels suspected", fontsize=10, color=INK)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.set_label("estimated wrong labels (rows)", color=INK, fontsize=9)
    bar.outline.set_visible(False)


def _distances(axes: Axes, outliers: Outliers) -> None:
    known = outliers.distance[outliers.distance > 0]
    axes.set_xlabel(outliers.how, color=INK)
    axes.set_ylabel("rows", color=INK)
    _plain(axes)
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
    if math.isfinite(outliers.threshold):
        axes.axvline(outliers.threshold, color=COLOURS[1], linewidth=1.6, linestyle="--")
        axes.text(outliers.threshold, 0.98, f"threshold {outliers.threshold:.3g} ", transform=axes.get_xaxis_transform(), va="top",
                  ha="right", color=COLOURS[1], fontsize=9)
    axes.set_title(f"{len(outliers.rows)} rows beyond ({outliers.share:.2%})", fontsize=10, color=INK)
