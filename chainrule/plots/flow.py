"""How a reading of every layer runs through training: layers by steps in colours, and the profile at one step, of one run or several.

After Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html; the colours: Nunez, Anderton & Renslow (2018),
https://doi.org/10.1371/journal.pone.0199239
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.core.errors import InputError
from chainrule.core.flow import Flow, scale_of, sentence
from chainrule.plots.style import COLOURS, INK, figure_of, make_plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNS = 4
EMPTY, ZERO, NOT_FINITE = "#d9d9d6", "#000000", "#d62728"
BELOW = 0.5         # inches for a sentence of two or three lines
NAMED = 30          # layers whose names all stand beside the picture


def flow(named: Sequence[tuple[str, Flow]]) -> Figure:
    """Runs side by side, each under its name: colours by layer (the output on top) and step, the last profile, and a sentence about it.

    All of them are on one scale. Raises InputError for none, for too many, and where they show different readings.
    """
    if not 1 <= len(named) <= MOST_RUNS or len({one.reading for _, one in named}) > 1:
        raise InputError(f"A picture of layers through training needs 1 to {MOST_RUNS} runs and one reading of them; got {len(named)}.")
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    flows = [one for _, one in named]
    reading, scale = flows[0].reading, scale_of(flows)
    deepest = max(len(one.layers) for one in flows)
    height = min(2.4 + 0.24 * deepest, 12.0)
    figure = figure_of(1.6 + 5.6 * len(named), height)
    figure.get_layout_engine().set(rect=(0, BELOW / height, 1, 1 - BELOW / height))  # type: ignore[union-attr, call-arg]
    cells = figure.subplots(1, 2 * len(named), width_ratios=[3.4, 1.4] * len(named), squeeze=False)[0]
    colours = colormaps["cividis"].with_extremes(bad=EMPTY, under=ZERO, over=NOT_FINITE)
    norm = Normalize(*scale)
    for i, (name, one) in enumerate(named):
        _heat(cells[2 * i], one, scale, colours, norm)
        cells[2 * i].set_title(shortened(name, 44), fontsize=10, color=INK)
        _profile(cells[2 * i + 1], one, scale)
        below = "\n".join(textwrap.wrap(sentence(one), 76))
        text = cells[2 * i].annotate(below, (0, 0), (0, -38), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8.5,
                                     color=INK)
        text.set_in_layout(False)                                            # it has room of its own below
    bar = figure.colorbar(ScalarMappable(norm, colormaps["cividis"]), ax=list(cells), fraction=0.03, pad=0.01)
    bar.set_label(reading.words, color=INK, fontsize=9)
    bar.set_ticks(_decades(scale) if reading.logarithmic else [0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels([_power(t) for t in _decades(scale)] if reading.logarithmic else ["0 %", "25 %", "50 %", "75 %", "100 %"],
                           fontsize=8, color=INK)
    bar.outline.set_visible(False)
    return figure


def places(steps: Sequence[int]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where steps stand on an axis that is even in the logarithm of the step and one, and the marks of that axis as (place, text)."""
    at = [math.log10(1 + step) for step in steps]
    marks = [(0.0, "0")] if steps[0] == 0 else []
    marks += [(math.log10(1 + 10**p), f"{10**p:,}") for p in range(10) if steps[0] <= 10**p <= steps[-1]]
    return at, marks or [(at[0], f"{steps[0]:,}")]


def edges(at: Sequence[float]) -> list[float]:
    """Borders of the columns of looks at these places: halfway between neighbours, at the ends as far again."""
    if len(at) == 1:
        return [at[0] - 0.5, at[0] + 0.5]
    middles = [(a + b) / 2 for a, b in pairwise(at)]
    return [2 * at[0] - middles[0], *middles, 2 * at[-1] - middles[-1]]


def _heat(axes: Axes, one: Flow, scale: tuple[float, float], colours: Any, norm: Any) -> None:
    at, marks = places(one.steps)
    grid = np.array([[_level(value, scale, one.reading.logarithmic) for value in row] for row in one.values])   # (layers, looks)
    axes.pcolormesh(edges(at), np.arange(len(one.layers) + 1), np.ma.masked_invalid(grid), cmap=colours, norm=norm, rasterized=True)
    axes.set_xticks([place for place, _ in marks], [text for _, text in marks], fontsize=8)
    every = math.ceil(len(one.layers) / NAMED)
    rows = list(range(len(one.layers) - 1, -1, -every))[::-1]
    axes.set_yticks([row + 0.5 for row in rows], [shortened(one.layers[row], 22) for row in rows], fontsize=8)
    axes.set_xlabel("step", color=INK, fontsize=9)
    axes.tick_params(colors=INK, length=2)
    axes.spines[:].set_visible(False)


def _level(value: float | None, scale: tuple[float, float], logarithmic: bool) -> float:
    """A value on the scale; below it for zero, above it for what is not finite, nan for what was not read."""
    if value is None:
        return math.nan
    if not math.isfinite(value):
        return scale[1] + 1
    if not logarithmic:
        return value
    return scale[0] - 1 if value <= 0 else math.log10(value)


def _profile(axes: Axes, one: Flow, scale: tuple[float, float]) -> None:
    """The last look: a point for each layer, in the same row as its colours."""
    levels = [_level(value, scale, one.reading.logarithmic) for value in one.at()]
    known = [(level, row + 0.5) for row, level in enumerate(levels) if scale[0] <= level <= scale[1]]
    axes.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=4, linewidth=1.4, color=COLOURS[0])
    for row, level in enumerate(levels):
        if level < scale[0] or level > scale[1]:
            axes.annotate("zero" if level < scale[0] else "not finite", (scale[0], row + 0.5), fontsize=7, color=NOT_FINITE, va="center")
    axes.set(xlim=scale, ylim=(0, len(one.layers)))
    axes.set_yticks([])
    ticks = _decades(scale, 6) if one.reading.logarithmic else [0.0, 0.5, 1.0]
    axes.set_xticks(ticks, [_power(t) for t in ticks] if one.reading.logarithmic else ["0 %", "50 %", "100 %"])
    axes.set_title(f"at step {one.steps[-1]:,}", fontsize=9, color=INK)
    make_plain(axes)
    axes.tick_params(labelsize=8)


def _decades(scale: tuple[float, float], every: int = 2) -> list[float]:
    first = math.ceil(scale[0] / every) * every
    return [float(p) for p in range(first, math.floor(scale[1]) + 1, every if scale[1] - scale[0] < 20 else 2 * every)]


def _power(exponent: float) -> str:
    return f"$10^{{{exponent:.0f}}}$"
