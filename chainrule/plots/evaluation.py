"""Pictures of what an evaluation found, as matplotlib figures that need no display.

The maps Blues and RdBu are safe for colour-blind readers too.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import Bin
from chainrule.evaluate.curves import OperatingPoints
from chainrule.evaluate.curves import precision_recall as precision_recall_of
from chainrule.plots.style import COLOURS, FAINT, INK, add_legend, figure_of, line_styles, make_plain, panels, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 25        # a confusion matrix of more classes shows colours only
MOST_PICTURES = 100
MOST_POINTS = 3000   # above this, density is drawn instead of points
TITLE_LETTERS = 18   # a longer line of a picture's title is wrapped
CURVE_POINTS = 1000  # a curve of more is thinned


def confusion_matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Counts (rows true, columns predicted), coloured by their share of the row; the colour scale is a square root, so that
    rare errors are seen.
    """
    from matplotlib.colors import PowerNorm

    counts = torch.tensor(confusion, dtype=torch.float64)                # (c, c)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    c = len(classes)
    side = 1.9 + min(max(0.62 * c, 1.8), 9.0)
    figure = figure_of(side + 1.0, side)
    axes = figure.add_subplot()
    image = axes.imshow(share.numpy(), cmap="Blues", norm=PowerNorm(0.5, 0, 1), aspect="equal")
    every = math.ceil(c / 40)
    ticks = list(range(0, c, every))
    names = [shortened(str(classes[i])) for i in ticks]
    turned = c > 4 and max(map(len, names)) > 3
    axes.set_xticks(ticks, names)
    if turned:
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    if c <= NUMBERED:
        size = 11 if c <= 6 else max(5.0, 10.5 - 0.2 * c)
        for i in range(c):
            for j in range(c):
                k, part = int(counts[i, j]), float(share[i, j])
                if k or c <= 4:
                    axes.text(j, i, f"{k:,}", ha="center", va="center", fontsize=size, color="white" if part > 0.3 else INK)
    axes.set_xticks([i - 0.5 for i in range(1, c)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, c)], minor=True)
    if c <= NUMBERED:
        axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "1 %", "10 %", "25 %", "50 %", "100 %"], fontsize=8, color=INK)
    bar.set_label("share of the true class", color=INK, fontsize=9)
    bar.outline.set_visible(False)
    return figure


def roc(curves: Mapping[str, OperatingPoints]) -> Figure:
    """True against false positives as the threshold falls, one line for each name."""
    figure, axes = _square("false-positive rate", "true-positive rate")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    for (name, points), style in zip(curves.items(), line_styles(), strict=False):
        axes.plot(*_thinned(points.fpr, points.tpr), label=f"{shortened(name)}  (area {points.auc:.4f})", **style)
    add_legend(axes, len(curves), "lower right")
    return figure


def precision_recall(curves: Mapping[str, OperatingPoints]) -> Figure:
    """Precision against recall as the threshold falls, one line for each name."""
    figure, axes = _square("recall", "precision")
    for (name, points), style in zip(curves.items(), line_styles(), strict=False):
        precision, recall = precision_recall_of(points)
        label = f"{shortened(name)}  (average {points.average_precision:.4f})"
        axes.step(*_thinned(recall, precision), where="pre", label=label, **style)
    add_legend(axes, len(curves), "lower left")
    return figure


def reliability(bins: Sequence[Bin]) -> Figure:
    """How often the net was right against how sure it was, with intervals; below, how many cases each bin holds."""
    figure = figure_of(5.2, 6.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
    ends = [[max(0.0, b.accuracy - b.interval.low) for b in bins], [max(0.0, b.interval.high - b.accuracy) for b in bins]]
    above.errorbar(x, y, ends, color=COLOURS[0], marker="o", markersize=5, linewidth=1.5, elinewidth=1, capsize=2.5)
    n = sum(b.count for b in bins)
    gap = sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / n
    above.set_title(f"expected calibration error {gap:.4f}", color=INK, fontsize=10)
    above.text(0.97, 0.03, "below the line: too sure", transform=above.transAxes, ha="right", color="#777777", fontsize=9,
               bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8})
    above.set_ylabel("share right", color=INK)
    above.set_ylim(-0.02, 1.02)
    middles, widths = [(b.low + b.high) / 2 for b in bins], [(b.high - b.low) * 0.92 for b in bins]
    below.bar(middles, [b.count / n for b in bins], widths, color=COLOURS[0], alpha=0.6)
    below.set_ylabel("share of cases", color=INK)
    below.set_xlabel("confidence: the greatest probability", color=INK)
    below.set_xlim(-0.02, 1.02)
    make_plain(above)
    make_plain(below)
    return figure


def predicted_against_true(predictions: Tensor, y: Tensor, targets: Sequence[str] = ()) -> Figure:
    """Predictions against targets (n, k) with the line of equality, a panel for each of the first four targets."""
    p, t, names = _columns(predictions, y, targets)
    figure = figure_of(4.4 * len(names), 4.3)
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        low, high = float(torch.minimum(p[:, i], t[:, i]).min()), float(torch.maximum(p[:, i], t[:, i]).max())
        pad = 0.04 * (high - low) or 1.0
        ends = (low - pad, high + pad)
        axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle="--", zorder=3)
        _cloud(axes, t[:, i], p[:, i], (*ends, *ends))
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.set_xlabel(f"true {name}", color=INK)
        axes.set_ylabel(f"predicted {name}", color=INK)
        make_plain(axes)
    return figure


def residuals(predictions: Tensor, y: Tensor, targets: Sequence[str] = ()) -> Figure:
    """What is left (true less predicted) against the prediction, and how it is distributed, for the first four targets."""
    from matplotlib.ticker import MaxNLocator

    p, t, names = _columns(predictions, y, targets)
    figure = figure_of(7.4, 3.2 * len(names))
    for i, name in enumerate(names):
        left, right = figure.add_subplot(len(names), 2, 2 * i + 1), figure.add_subplot(len(names), 2, 2 * i + 2)
        off = t[:, i] - p[:, i]
        left.axhline(0, color=FAINT, linewidth=1, linestyle="--", zorder=3)
        _cloud(left, p[:, i], off, None)
        left.set_xlabel(f"predicted {name}", color=INK)
        left.set_ylabel("true - predicted", color=INK)
        right.hist(off.numpy(), bins=min(40, max(5, round(math.sqrt(len(off))))), color=COLOURS[0], alpha=0.75)
        right.axvline(0, color=INK, linewidth=1, linestyle="--")
        right.set_xlabel(f"true - predicted {name}".rstrip(), color=INK)
        right.set_ylabel("cases", color=INK)
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        make_plain(left)
        make_plain(right)
    return figure


def image_grid(images: Tensor, titles: Sequence[str] = (), *, columns: int = 8) -> Figure:
    """Pictures (n, h, w) or (n, channels, h, w), `uint8` or real, each under its title: the worst mistakes, samples."""
    pictures = images.detach().cpu()
    if pictures.dim() == 3:
        pictures = pictures[:, None]
    if pictures.dim() != 4 or len(pictures) == 0 or (titles and len(titles) != len(pictures)):
        raise InputError("A grid of images needs images (n, channels, height, width) and no title or one for each; got "
                         f"{tuple(images.shape)} and {len(titles)} titles. Reshape the rows to images first.")
    pictures = pictures[:MOST_PICTURES]
    real = pictures.double() / 255 if pictures.dtype == torch.uint8 else pictures.double()
    low, high = float(real.min()), float(real.max())
    if low < 0 or high > 1:
        real = (real - low) / (high - low)
    wrapped = ["\n".join(textwrap.fill(line, TITLE_LETTERS) for line in str(t).split("\n")) for t in titles]
    lines = max((t.count("\n") + 1 for t in wrapped), default=0)
    figure, cells = panels(len(real), columns, 1.15, 1.15 + 0.17 * lines)
    for i, axes in enumerate(cells):
        if real.shape[1] == 3:
            axes.imshow(real[i].permute(1, 2, 0).numpy(), interpolation="nearest")
        else:
            axes.imshow(real[i].mean(0).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if titles:
            axes.set_title(wrapped[i], fontsize=8, color=INK, pad=3)
    return figure


def weight_pictures(weight: Tensor, shape: Sequence[int], *, columns: int = 10, titles: Sequence[str] = ()) -> Figure:
    """The incoming weights of each unit (units, ...) as a picture of `shape` (h, w) or (channels, h, w), under its title if it has one.

    Blue is negative, red positive, white zero, on one symmetric scale; three channels are drawn as a colour about mid-grey,
    other numbers of channels as their mean.
    """
    height, width = int(shape[-2]), int(shape[-1])
    channels = math.prod(shape[:-2])
    if weight.dim() < 2 or weight[0].numel() != channels * height * width:
        raise InputError(f"Weight pictures need weights (units, {channels * height * width}) for shape {tuple(shape)}; got "
                         f"{tuple(weight.shape)}. Give the shape that one unit reads.")
    maps = weight.detach().cpu().double().reshape(len(weight), channels, height, width)[:MOST_PICTURES]
    if channels not in (1, 3):
        maps = maps.mean(1, keepdim=True)
    limit = float(torch.quantile(maps.abs().flatten()[: 2**23], 0.995)) or 1.0
    figure, cells = panels(len(maps), columns, 0.95, 1.15 if titles else 0.95)
    for axes, title in zip(cells, titles, strict=False):
        axes.set_title(shortened(str(title)), fontsize=8, color=INK, pad=3)
    for unit, axes in zip(maps, cells, strict=True):
        if len(unit) == 3:
            axes.imshow((0.5 + 0.5 * unit / limit).clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        else:
            image = axes.imshow(unit[0].numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    if channels != 3:
        bar = figure.colorbar(image, ax=cells, shrink=0.7, aspect=18, pad=0.02, ticks=[-limit, 0, limit])
        bar.ax.set_yticklabels([f"-{limit:.2g}", "0", f"{limit:.2g}"], fontsize=8, color=INK)
        bar.set_label("weight", color=INK, fontsize=8)
        bar.outline.set_visible(False)
    return figure


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure = figure_of(5.2, 5.0)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    make_plain(axes)
    return figure, axes


def _cloud(axes: Axes, x: Tensor, y: Tensor, extent: tuple[float, float, float, float] | None) -> None:
    if len(x) > MOST_POINTS:
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap

        blues = ListedColormap(colormaps["Blues"](torch.linspace(0.25, 1, 128).numpy()))
        axes.hexbin(x.numpy(), y.numpy(), gridsize=50, bins="log", cmap=blues, mincnt=1, extent=extent, linewidths=0.1, rasterized=True)
    else:
        alpha = 0.8 if len(x) <= 300 else 0.35
        axes.scatter(x.numpy(), y.numpy(), s=14, color=COLOURS[0], alpha=alpha, linewidths=0)


def _columns(predictions: Tensor, y: Tensor, targets: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
    p, t = (v.detach().cpu().double().reshape(len(v), -1) for v in (predictions, y))
    if p.shape != t.shape or len(p) == 0:
        raise InputError(f"Predictions and targets need one shape to be drawn; got {tuple(p.shape)} and {tuple(t.shape)}. "
                         "Give both as (n, k).")
    k = min(4, t.shape[1])
    return p[:, :k], t[:, :k], [str(n) for n in targets][:k] or (["target"] if k == 1 else [f"target {i}" for i in range(k)])


def _thinned(x: Tensor, y: Tensor) -> tuple[Any, Any]:
    """At most about CURVE_POINTS of a curve's points, first and last among them, as arrays."""
    picked = torch.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().long()
    return x[picked].numpy(), y[picked].numpy()
