"""The picture of what memories recall as more is stored. Amit, Gutfreund & Sompolinsky (1985), https://doi.org/10.1103/PhysRevLett.55.1530"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chainrule.plots.style import COLOURS, FAINT, INK, figure_of, make_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPACITY = 0.138
SHOWN = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)    # of the loads on the axis


def capacity(loads: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Figure:
    """The share of patterns that each memory recalls at so many patterns a unit; the theory of Hebb's rule as a line."""
    figure = figure_of(6.4, 4.0)
    axes = figure.add_subplot()
    axes.axvline(CAPACITY, color=FAINT, linewidth=1.4, linestyle="--", label=f"capacity of Hebb's rule, {CAPACITY}")
    for (name, own), colour in zip(shares.items(), COLOURS, strict=False):
        axes.plot(loads, [100 * share for share in own], color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks([load for load in loads if load in SHOWN], [f"{load:g}" for load in loads if load in SHOWN])
    axes.set_xlabel("patterns stored for each unit", color=INK)
    axes.set_ylabel("% of patterns recalled", color=INK)
    axes.set_ylim(-3, 103)
    make_plain(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower left")
    return figure
