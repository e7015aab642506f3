"""Pictures of hidden states: the likeliest path behind sequences, and smoothed states with their bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.plots.style import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, TALL = 9.0, 1.7                     # of the picture of a sequence, in inches
MOST_LABELS = 12                          # symbols or columns that are named
BAND = 1.96                               # standard deviations to either side


@pictures("likeliest-path", source="Viterbi (1967), https://doi.org/10.1109/TIT.1967.1054010", task="density", when=("test", "report"))
def likeliest_path(answer: Tensor, truth: Tensor, names: Sequence[str], sequences: Tensor, paths: Tensor, labels: Sequence[str],
                   symbols: bool) -> Figure:
    """Sequences (k, t, d) over the colours of the likeliest states (k, t) behind them; symbols as dots, numbers as lines."""
    from matplotlib.patches import Patch

    states = int(paths.max()) + 1
    figure, cells = _cells(len(paths))
    for axes, rows, path in zip(cells, sequences, paths.tolist(), strict=True):
        at = 0
        for state, run in groupby(path):
            end = at + len(list(run))
            if state >= 0:
                axes.axvspan(at - 0.5, end - 0.5, color=COLOURS[state % len(COLOURS)], alpha=0.3, linewidth=0)
            at = end
        length = sum(state >= 0 for state in path)
        if symbols:
            steps, codes = rows[:length].nonzero(as_tuple=True)
            axes.plot(steps.numpy(), codes.numpy(), ".", color=INK, markersize=3)
            if len(labels) <= MOST_LABELS:
                axes.set_yticks(range(len(labels)), labels)
        else:
            for column in rows[:length].T:
                axes.plot(column.numpy(), color=INK, linewidth=0.9)
        axes.set_xlim(-0.5, max(length, 1) - 0.5)
    keys = [Patch(color=COLOURS[state % len(COLOURS)], alpha=0.3, label=f"state {state + 1}") for state in range(states)]
    figure.legend(handles=keys, loc="outside lower center", ncols=min(states, 8), fontsize=8, frameon=False)
    return figure


@pictures("smoothed-states", source="Rauch, Tung & Striebel (1965), https://doi.org/10.2514/3.3166", task="density",
          when=("test", "report"))
def smoothed_states(answer: Tensor, truth: Tensor, names: Sequence[str], means: Tensor, deviations: Tensor, exists: Tensor) -> Figure:
    """Means (k, t, s) of hidden states given whole sequences, with the band that holds them with 95 %; `exists` (k, t) are their steps."""
    figure, cells = _cells(len(means))
    for axes, mean, spread, there in zip(cells, means, BAND * deviations, exists, strict=True):
        steps = range(int(there.sum()))
        for k, (line, around) in enumerate(zip(mean[there].T, spread[there].T, strict=True)):
            colour = COLOURS[k % len(COLOURS)]
            axes.fill_between(steps, (line - around).numpy(), (line + around).numpy(), color=colour, alpha=0.2, linewidth=0)
            axes.plot(steps, line.numpy(), color=colour, linewidth=1.1, label=f"state {k + 1}")
        axes.axhline(0, color=FAINT, linewidth=0.6)
        axes.set_xlim(0, max(len(steps) - 1, 1))
    handles, words = cells[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=min(len(words), 8), fontsize=8, frameon=False)
    return figure


def _cells(count: int) -> tuple[Figure, list[Any]]:
    """A picture of so many sequences, one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, TALL * count + 0.6), layout="constrained")
    cells = list(figure.subplots(count, 1, squeeze=False)[:, 0])
    for number, axes in enumerate(cells, 1):
        axes.tick_params(labelsize=7, colors=INK)
        axes.set_ylabel(f"sequence {number}", fontsize=8, color=INK)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    cells[-1].set_xlabel("step", fontsize=8, color=INK)
    return figure, cells
