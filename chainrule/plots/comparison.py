"""Several nets' shares of errors on the same cases, with intervals, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval
from chainrule.plots.style import COLOURS, INK, figure_of, make_plain, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def standings(names: Sequence[str], shares: Sequence[float], intervals: Sequence[Interval]) -> Figure:
    """A point and its interval for each of `names`, fewest errors on top; shares in [0, 1]. Raises InputError where the lengths differ."""
    if not len(names) == len(shares) == len(intervals) > 0:
        raise InputError(f"A picture of standings needs a share and an interval for each name; got {len(names)} names, {len(shares)} "
                         f"shares, {len(intervals)} intervals.")
    order = sorted(range(len(names)), key=lambda i: -shares[i])
    figure = figure_of(6.4, 1.1 + 0.36 * len(names))
    axes = figure.add_subplot()
    for row, i in enumerate(order):
        axes.plot([100 * intervals[i].low, 100 * intervals[i].high], [row, row], color=COLOURS[0], linewidth=2.2, alpha=0.45,
                  solid_capstyle="butt")
        axes.plot([100 * shares[i]], [row], "o", color=COLOURS[0], markersize=6)
    axes.set_yticks(range(len(order)), [shortened(names[i]) for i in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"errors, % of cases, with {100 * intervals[0].level:g} % intervals", color=INK)
    make_plain(axes)
    return figure
