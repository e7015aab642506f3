"""What all pictures have in common: colours that stay apart for everyone, figures and axes without ornament, short names.

Colours: Okabe & Ito (2008), https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
INK, FAINT = "#333333", "#BBBBBB"


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of so many inches, whose parts make room for one another."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure


def panels(n: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `n` framed axes without ticks, in rows of `columns`, each of so many inches."""
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure = figure_of(max(2.2, columns * width + 0.6), rows * height + 0.15)
    cells = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for axes in cells:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(FAINT)
        axes.spines[:].set_linewidth(0.5)
    return figure, cells


def line_styles() -> list[dict[str, Any]]:
    """Line styles that stay apart without colour: eight colours, then again dashed, then dotted."""
    return [{"color": c, "linestyle": s, "linewidth": 1.7} for s in ("-", "--", ":") for c in COLOURS]


def add_legend(axes: Axes, n: int, where: Literal["lower right", "lower left"]) -> None:
    """Name the `n` lines of some axes, in smaller letters where they are many; nothing where there are none."""
    if n:
        axes.legend(loc=where, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9 if n <= 6 else 7.5, labelcolor=INK)


def make_plain(axes: Axes) -> None:
    """Leave two spines and a faint grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9, color=FAINT)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)


def shortened(name: str, most: int = 18) -> str:
    """A name of at most so many letters, the last one an ellipsis where some are left out.

    >>> shortened("sepal length"), shortened("sepal length", 6)
    ('sepal length', 'sepal…')
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def end_of(name: str, most: int) -> str:
    """The end of a name of at most so many letters: what parts layers of one block stands there.

    >>> end_of("stages.1.0.norms.0", 9)
    '….norms.0'
    """
    return name if len(name) <= most else f"…{name[1 - most:]}"
