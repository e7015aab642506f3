"""The pictures of a forecast: fans from a few origins, and the error by how far ahead it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots.style import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORIGINS, ACROSS = 6, 3       # fans that are drawn, and how many stand beside one another
BEHIND = 4                   # horizons of history that are drawn at most
WIDE, HIGH = 3.6, 2.4        # inches of one


@pictures("forecast-fan", source="Britton, Fisher & Whitley (1998), Bank of England Quarterly Bulletin 38:30", task="forecast",
          when=("test", "report"))
def forecast_fan(answer: Tensor, truth: Tensor, names: Sequence[str], history: Tensor, widths: Tensor | None = None) -> Figure:
    """Forecasts (n, horizon * k) from origins spread over a part, with their intervals, between what was known (n, lags, k) and what came.

    `widths` (horizon * k,) are half as wide as the intervals. The first target is drawn.
    """
    from matplotlib.figure import Figure

    k = history.shape[2]
    shown = torch.linspace(0, len(answer) - 1, min(ORIGINS, len(answer))).round().long().unique()
    rows = -(-len(shown) // ACROSS)
    figure = Figure(figsize=(ACROSS * WIDE, rows * HIGH + 0.4), layout="constrained")
    cells = figure.subplots(rows, min(ACROSS, len(shown)), squeeze=False)
    horizon = answer.shape[1] // k
    ahead = torch.arange(1, horizon + 1).numpy()
    for axes in cells.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, row in zip(cells.flat, shown.tolist()):
        past = history[row, -BEHIND * horizon :, 0]
        axes.plot(range(1 - len(past), 1), past.numpy(), color=INK, linewidth=1)
        axes.axhline(float(past[-1]), color=FAINT, linewidth=1, linestyle=":", label="naive")
        answers, came = answer[row, ::k], truth[row, ::k]
        if widths is not None:
            half = widths[::k].to(answers)
            axes.fill_between(ahead, (answers - half).numpy(), (answers + half).numpy(), color=COLOURS[0], alpha=0.2, linewidth=0,
                              label="95 % interval")
        axes.plot(ahead, came.numpy(), color=INK, linewidth=1, marker="o", markersize=2.5, label="what came")
        axes.plot(ahead, answers.numpy(), color=COLOURS[0], linewidth=1.5, label="forecast")
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_title(f"origin {row + 1} of {len(answer)}", fontsize=8, color=INK, pad=3)
        axes.tick_params(labelsize=7)
    cells[-1, 0].set_xlabel("steps from the origin", fontsize=8)
    cells[0, 0].set_ylabel(names[0].rpartition(" +")[0] or names[0], fontsize=8)
    handles, labels = cells[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


@pictures("error-by-horizon", source="Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001", task="forecast",
          when=("test", "report"))
def error_by_horizon(answer: Tensor, truth: Tensor, names: Sequence[str], history: Tensor) -> Figure | None:
    """The mean absolute error of forecasts (n, horizon * k) by steps ahead, beside that of the naive ones; None where one step is foretold.

    That of each of several targets is divided by the naive one's first.
    """
    from matplotlib.figure import Figure

    k = history.shape[2]
    horizon = answer.shape[1] // k
    if horizon < 2:
        return None
    naive = history[:, -1].repeat(1, horizon)
    ours, theirs = ((values.double() - truth.double()).abs().mean(0).view(horizon, k) for values in (answer, naive))
    if k > 1:
        ours, theirs = ((each / theirs[0].clamp(min=1e-300)).mean(1, keepdim=True) for each in (ours, theirs))
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    ahead = range(1, horizon + 1)
    axes.plot(ahead, theirs[:, 0].numpy(), color=INK, linewidth=1, linestyle=":", marker="o", markersize=3, label="naive")
    axes.plot(ahead, ours[:, 0].numpy(), color=COLOURS[0], linewidth=1.5, marker="o", markersize=3, label="forecast")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("steps ahead")
    axes.set_ylabel("mean absolute error" if k == 1 else "mean absolute error, in naive ones")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
