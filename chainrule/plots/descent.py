"""Pictures of going downhill: a range of rates, a surface of the error with the path taken, several optimizers on one surface.

Li, Xu, Taylor, Studer & Goldstein (2018), https://arxiv.org/abs/1712.09913
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.plots.style import COLOURS, FAINT, INK, figure_of, make_plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = 24


def rates(at: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float, edge: float | None,
          optimizer: str = "") -> Figure:
    """The loss while the rate rises, as measured and smoothed; the suggested rate, and the edge after which the loss rises."""
    if len(at) < 2:
        raise InputError(f"A picture of rates needs at least two steps; got {len(at)}.")
    figure = figure_of(6.4, 4.2)
    axes = figure.add_subplot()
    axes.plot(at, losses, color=FAINT, linewidth=1, label="loss of each batch")
    axes.plot(at, smoothed, color=COLOURS[0], linewidth=2, label="smoothed")
    axes.axvline(suggested, color=COLOURS[2], linewidth=1.6, label=f"suggested: {suggested:.2g}")
    if edge is not None:
        axes.axvline(edge, color=COLOURS[1], linewidth=1.6, linestyle="--", label=f"edge: rises after {edge:.2g}")
    axes.set_xscale("log")
    low, start = min(smoothed), max(smoothed[: max(1, len(smoothed) // 3)])
    axes.set_ylim(low - 0.1 * (start - low or 1.0), start + 0.6 * (start - low or 1.0))
    axes.set_xlabel(f"rate of {optimizer}".rstrip(" of"), color=INK)
    axes.set_ylabel("training loss", color=INK)
    make_plain(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower left")
    return figure


def surface(across: Tensor, up: Tensor, heights: Tensor, paths: Mapping[str, Tensor], *, labels: tuple[str, str], height: str = "loss",
            minimum: tuple[float, float] | None = None, title: str = "", end: str = "end") -> Figure:
    """Contours of `heights` (up, across) on a scale even in the logarithm, with each path (steps, 2) from its dot to its cross.

    `end` says in words where the cross of a lone path is.
    """
    if heights.shape != (len(up), len(across)):
        raise InputError(f"A surface needs heights ({len(up)}, {len(across)}); got {tuple(heights.shape)}.")
    figure = figure_of(7.0, 5.4)
    axes = figure.add_subplot()
    _contours(figure, axes, across, up, heights, height)
    for (name, path), style in zip(paths.items(), _path_styles(), strict=False):
        p = path.double()
        p = p[p.isfinite().all(1)]
        if not len(p):
            continue
        alone = len(p) == 1
        if not alone:
            axes.plot(p[:, 0].tolist(), p[:, 1].tolist(), linewidth=1.8, label=name, marker="o" if len(p) <= 60 else "", markersize=3,
                      zorder=4, **style)
        axes.plot([float(p[-1, 0])], [float(p[-1, 1])], marker="X", markersize=9, color=style["color"], markeredgecolor="white",
                  markeredgewidth=0.8, linestyle="", zorder=6, label=name if alone else end if len(paths) == 1 else None)
    if any(len(path) > 1 for path in paths.values()):
        first = next(iter(paths.values()))[0].double()
        axes.plot([float(first[0])], [float(first[1])], marker="o", markersize=8, color="white", markeredgecolor=INK, linestyle="",
                  zorder=6, label="start")
    if minimum is not None:
        axes.plot([minimum[0]], [minimum[1]], marker="*", markersize=13, color=COLOURS[4], markeredgecolor=INK, markeredgewidth=0.7,
                  linestyle="", zorder=7, label="minimum")
    axes.set(xlim=(float(across[0]), float(across[-1])), ylim=(float(up[0]), float(up[-1])))
    axes.set_xlabel(labels[0], color=INK)
    axes.set_ylabel(labels[1], color=INK)
    make_plain(axes)
    axes.grid(visible=False)
    if title:
        axes.set_title(title, fontsize=10, color=INK)
    if paths:
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=1 if max(map(len, names)) > 36 else 2, frameon=False, fontsize=9,
                      labelcolor=INK)
    return figure


def _contours(figure: Figure, axes: Axes, across: Tensor, up: Tensor, heights: Tensor, label: str) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    known = heights[heights.isfinite()]
    if not len(known):
        raise InputError("A surface needs finite heights; got none. Look closer to the weights.")
    low, high = float(known.min()), float(known.max())
    positive = known[known > 0]
    norm: Normalize
    if len(positive) and high > 0 and low >= 0 and high / max(float(positive.min()), 1e-12) > 10:
        floor = max(float(positive.quantile(0.001) if len(positive) < 2**24 else positive.min()), high * 1e-8)
        levels, norm = torch.logspace(math.log10(floor), math.log10(high), LEVELS).tolist(), LogNorm(floor, high)
        shown = heights.clamp(floor, high)
    else:
        top = high if high > low else low + 1.0
        levels, norm = torch.linspace(low, top, LEVELS).tolist(), Normalize(low, top)
        shown = heights
    drawn = axes.contourf(across.numpy(), up.numpy(), shown.nan_to_num(high, high, high).numpy(), levels=sorted(set(levels)), norm=norm,
                          cmap=ListedColormap(0.25 + 0.75 * colormaps["Blues_r"](torch.linspace(0, 1, 256).numpy())), extend="both")
    axes.contour(across.numpy(), up.numpy(), shown.nan_to_num(high, high, high).numpy(), levels=sorted(set(levels))[::2],
                 colors="white", linewidths=0.4)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02)
    ticks = levels[:: max(1, LEVELS // 6)]
    bar.set_ticks(ticks)
    bar.ax.minorticks_off()
    bar.ax.set_yticklabels([f"{v:,.0f}" if 100 <= v < 1e6 else f"{v:.2g}" for v in ticks], fontsize=8, color=INK)
    bar.set_label(label, color=INK, fontsize=9)
    bar.outline.set_visible(False)


def _path_styles() -> list[dict[str, Any]]:
    """Eight colours, none of them the blue of the surface first; then again dashed."""
    ordered = (COLOURS[1], COLOURS[2], COLOURS[6], COLOURS[3], COLOURS[4], COLOURS[7], COLOURS[0], COLOURS[5])
    return [{"color": c, "linestyle": s} for s in ("-", "--", ":") for c in ordered]
