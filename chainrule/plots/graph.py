"""The computational graph drawn: each node with its value and derivative, each edge with its factor, inputs on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.plots.style import COLOURS, INK, figure_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABELS = 24        # edges that are labelled; more would lie over one another
BEND, PLACE = 0.18, 0.42    # of arrows that pass a column, and how far along them their label stands
WIDE, HIGH = 2.1, 0.95  # inches a column and a row
BOX = {"boxstyle": "round,pad=0.45", "facecolor": "#eef2f7", "edgecolor": COLOURS[0], "linewidth": 0.8}


def graph(names: Sequence[str], values: Sequence[float], derivatives: Sequence[float], columns: Sequence[int],
          edges: Sequence[tuple[int, int, float]], *, title: str, result: str) -> Figure:
    """Nodes in columns, each with its value and below it the derivative of the `result` by it; edges (tail, head, factor).

    Edges are as dark as their factor is large, orange where it is negative; labelled where there are few.
    """
    places = layout(columns, edges)
    rows = max(columns.count(column) for column in set(columns))
    figure = figure_of(WIDE * (max(columns) + 1) + 0.6, max(2.4, HIGH * rows + 1.0))
    axes = figure.subplots()
    axes.axis("off")
    axes.set_xlim(-0.5, max(columns) + 0.5)
    heights = [y for _, y in places]
    axes.set_ylim(min(heights) - 0.6, max(heights) + 0.6)
    boxes = []
    for name, value, slope, place in zip(names, values, derivatives, places, strict=True):
        words = f"{shortened(name, 20)}\n{_number(value)}\nd {_number(slope)}"
        boxes.append(axes.text(*place, words, fontsize=8, color=INK, ha="center", va="center", zorder=3, linespacing=1.3, bbox=BOX))
    figure.draw_without_rendering()                       # so that arrows know where boxes end
    greatest = max((abs(factor) for *_, factor in edges), default=1.0) or 1.0
    for tail, head, factor in edges:
        bend = BEND if columns[head] - columns[tail] > 1 else 0.0
        axes.annotate("", places[head], places[tail], zorder=1, arrowprops={
            "arrowstyle": "-|>", "color": COLOURS[1] if factor < 0 else COLOURS[0], "alpha": 0.25 + 0.75 * abs(factor) / greatest,
            "patchA": boxes[tail].get_bbox_patch(), "patchB": boxes[head].get_bbox_patch(), "shrinkA": 1, "shrinkB": 2, "linewidth": 1.2,
            "connectionstyle": f"arc3,rad={bend}"})
        if len(edges) <= MOST_LABELS:
            axes.text(*_along(axes, places[tail], places[head], bend), _number(factor), fontsize=8, color=INK, ha="center", va="center",
                      zorder=2, bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"})
    axes.set_title(shortened(title, 90), fontsize=9, color=INK)
    how = "on each edge its factor" if len(edges) <= MOST_LABELS else "edges as dark as their factors are large, orange where negative"
    below = f"in each node its value, and d: the derivative of {shortened(result, 20)} by it; {how}"
    figure.supxlabel(below, fontsize=8, color=INK)
    return figure


def _along(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float) -> tuple[float, float]:
    """A point of an arrow that bends so much, nearer its start, where its label stands."""
    (x, y), (u, v) = axes.transData.transform([start, end])
    middle = ((x + u) / 2 + bend * (v - y), (y + v) / 2 - bend * (u - x))
    shares = ((1 - PLACE) ** 2, 2 * PLACE * (1 - PLACE), PLACE**2)
    at = [sum(share * one for share, one in zip(shares, several, strict=True)) for several in zip((x, y), middle, (u, v), strict=True)]
    across, up = axes.transData.inverted().transform(at)
    return float(across), float(up)


def layout(columns: Sequence[int], edges: Sequence[tuple[int, int, float]]) -> list[tuple[float, float]]:
    """Where each node is drawn: its column, and spread evenly in it, near the middle of the nodes that lead to it."""
    places: list[tuple[float, float]] = [(0.0, 0.0)] * len(columns)
    for column in sorted(set(columns)):
        own = [i for i, other in enumerate(columns) if other == column]
        before = {i: [places[tail][1] for tail, head, _ in edges if head == i] for i in own}
        own.sort(key=lambda i: (-sum(before[i]) / len(before[i]) if before[i] else 0.0, i))
        middle = (len(own) - 1) / 2
        alone = before[own[0]] if len(own) == 1 else []
        shift = sum(alone) / len(alone) if alone else 0.0
        for rank, i in enumerate(own):
            places[i] = (float(column), middle - rank + shift)
    return places


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}"
