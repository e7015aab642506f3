"""How a committee's errors fall as members join it, as one picture: each way of combining, the members alone, and an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval
from chainrule.plots.style import COLOURS, INK, add_legend, figure_of, line_styles, make_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def growth(scores: Mapping[str, Sequence[float]], own: str, *, alone: Sequence[float] = (), intervals: Sequence[Interval] = (),
           measure: str = "errors, % of cases") -> Figure:
    """`scores` of the first 1, 2, ... members by each way of combining them, `own` in front with its intervals; each member alone.

    Raises InputError where the lengths differ.
    """
    from matplotlib.ticker import MaxNLocator

    lengths = {len(line) for line in scores.values()} | ({len(alone)} if alone else set()) | ({len(intervals)} if intervals else set())
    if len(lengths) != 1 or own not in scores:
        raise InputError(f"A picture of a committee's growth needs one score for each size and way, '{own}' among the ways; got "
                         f"{', '.join(scores)} of lengths {sorted(lengths)}.")
    n = lengths.pop()
    sizes = list(range(1, n + 1))
    figure = figure_of(6.4, 4.2)
    axes = figure.add_subplot()
    if intervals:
        axes.fill_between(sizes, [i.low for i in intervals], [i.high for i in intervals], color=COLOURS[0], alpha=0.14, linewidth=0,
                          label=f"{own}, {100 * intervals[0].level:g} % interval")
    if alone:
        axes.plot(sizes, list(alone), "o", color="#777777", markersize=8, markerfacecolor="none", label="each member alone", zorder=5)
    others = [way for way in scores if way != own]
    for way, style in zip([own, *others], line_styles(), strict=False):
        front = way == own
        axes.plot(sizes, list(scores[way]), label=way, **{**style, "linewidth": 2.2 if front else 1.3, "linestyle": "-" if front else "--"},
                  marker="o" if front and n <= 30 else None, markersize=4, zorder=3 if front else 4)
    axes.set_xlabel("members, in their order", color=INK)
    axes.set_ylabel(measure, color=INK)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(1 - 0.03 * n, n + 0.03 * n)
    make_plain(axes)
    add_legend(axes, 1, "lower left")
    return figure
