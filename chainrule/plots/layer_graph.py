"""The layers of a net drawn as a graph: what it reads on top, the loss at the bottom, each in the colour of the derivative by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.core.flow import HIGHEST, LOWEST
from chainrule.plots.layout import Layout, layout
from chainrule.plots.style import INK, end_of, figure_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, HIGH = 2.3, 0.66          # inches from node to node, across and down
BOX = (0.94, 0.68)              # of these a node's
PLAIN, DARK, BRIGHT = "#eef2f7", "#111111", "#fefefe"
NAMED, SORT = 27, 42            # letters of a name, and of a kind and a shape, that fit


def layer_graph(names: Sequence[str], kinds: Sequence[str], shapes: Sequence[str], numbers: Sequence[str],
                derivatives: Sequence[float | None], edges: Sequence[tuple[int, int]], *, title: str, below: str) -> Figure:
    """Layers in the order in which they run, each with its kind, its shape and a line of numbers; edges (tail, head) lead to later ones.

    A layer is coloured by the power of ten of its derivative, on the scale of the gradient flow; without one it is pale.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import FancyBboxPatch

    placed = layout(len(names), edges)
    exponents = [math.log10(d) for d in derivatives if d is not None and d > 0 and math.isfinite(d)]
    low, high = min([LOWEST, *map(math.floor, exponents)]), max([HIGHEST, *map(math.ceil, exponents)])
    norm = Normalize(low, high)
    figure = figure_of(max(WIDE * (placed.width + 1) + 1.2, 5.0), HIGH * (placed.height + 1) + 1.1)
    axes = figure.subplots()
    axes.axis("off")
    axes.set_xlim(-0.55, max(placed.width, placed.places[0][0]) + 0.55)
    axes.set_ylim(placed.height + 0.5, -0.5)
    _lines(axes, placed)
    for name, kind, shape, line, derivative, (x, y) in zip(names, kinds, shapes, numbers, derivatives, placed.places, strict=True):
        colour, ink = _colour(derivative, norm)
        axes.add_patch(FancyBboxPatch((x - BOX[0] / 2, y - BOX[1] / 2), *BOX, boxstyle="round,pad=0,rounding_size=0.05",
                                      facecolor=colour, edgecolor="none", zorder=3, mutation_aspect=WIDE / HIGH))
        sort = f"{shortened(kind, SORT - len(shape))}  {shape}"
        for text, at, size, weight in ((end_of(name, NAMED), -0.21, 7.5, "bold"), (sort.strip(), 0.0, 6.5, "normal"),
                                       (line, 0.21, 6.5, "normal")):
            axes.text(x, y + at, text, fontsize=size, color=ink, ha="center", va="center", zorder=4, weight=weight)
    axes.set_title(shortened(title, 90), fontsize=9, color=INK)
    figure.supxlabel(below, fontsize=8, color=INK)
    if exponents:
        bar = figure.colorbar(ScalarMappable(norm, colormaps["cividis"]), ax=axes, fraction=0.03, pad=0.01,
                              shrink=min(1.0, 3.2 / figure.get_figheight()))
        ticks = range(math.ceil(low / 3) * 3, high + 1, 3)
        bar.set_ticks(list(ticks), labels=[f"$10^{{{t}}}$" for t in ticks])
        bar.ax.tick_params(labelsize=7, colors=INK)
        bar.outline.set_visible(False)
    return figure


def _colour(derivative: float | None, norm: object) -> tuple[object, str]:
    """The colour of a node and that of its text: black where the derivative is zero, red where it is not finite."""
    from matplotlib import colormaps

    if derivative is None:
        return PLAIN, DARK
    if not math.isfinite(derivative):
        return "#d62728", BRIGHT
    if derivative == 0:
        return "#000001", BRIGHT
    red, green, blue, _ = colour = colormaps["cividis"](norm(math.log10(derivative)))  # type: ignore[operator]
    return colour, DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else BRIGHT


def _lines(axes: Axes, placed: Layout) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for line in placed.lines:
        points, codes = corners(line)
        axes.add_patch(PathPatch(Path(points, [{"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}[code] for code in codes]),
                                 facecolor="none", edgecolor="#777777", linewidth=0.9, zorder=1))
        (x, y), half = line[-1], BOX[1] / 2
        axes.plot([x], [y - half - 0.04], marker="v", markersize=3.5, color="#777777", zorder=2)


def corners(line: Sequence[tuple[float, float]], half: float = BOX[1] / 2) -> tuple[list[tuple[float, float]], str]:
    """The points of a line from below its tail to above its head, its turns rounded, and a letter for each: M, L or Q as in SVG."""
    (x, y), (u, v) = line[0], line[-1]
    start, end = (x, y + half), (u, v - half)
    if len(line) == 2:
        return [start, end], "ML"
    first, second = line[1], line[2]
    return [start, (first[0], y + half + 0.05), (first[0], first[1] + half),
            (second[0], second[1] - half), (second[0], v - half - 0.05), end], "MQQLQQ"
