"""Where a net looks while it writes: how much each symbol that was read counts for each that was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.core.text import visible
from chainrule.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 2                 # maps beside one another
CELL, ROOM = 0.22, 0.9     # inches a symbol, and around each map


@pictures("attention", source="Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473, figure 3", task="translation",
          when=("test", "report"))
def attention(answer: Tensor, truth: Tensor, names: Sequence[str], shares: Sequence[Tensor], read: Sequence[Sequence[str]],
              written: Sequence[Sequence[str]]) -> Figure | None:
    """Maps of shares (l, t), one for each pair of what was `read`, t symbols along, and what was `written` of it, l symbols down."""
    from matplotlib.figure import Figure

    if not shares:
        return None
    across = min(ACROSS, len(shares))
    rows = -(-len(shares) // across)
    wide, high = max(map(len, read)), max(map(len, written))
    figure = Figure(figsize=(max(2.4, across * (wide * CELL + ROOM)), max(2.0, rows * (high * CELL + ROOM))), layout="constrained")
    cells = list(figure.subplots(rows, across, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    for axes, map_, above, beside in zip(cells, shares, read, written, strict=False):
        axes.set_axis_on()
        image = axes.imshow(map_.float().cpu().numpy(), cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        axes.set_xticks(range(len(above)), [_shown(symbol) for symbol in above], fontsize=7, family="monospace")
        axes.set_yticks(range(len(beside)), [_shown(symbol) for symbol in beside], fontsize=7, family="monospace")
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2, colors=INK)
    figure.colorbar(image, ax=cells, shrink=0.6, pad=0.02).ax.tick_params(labelsize=7)
    figure.suptitle("what was read, along; what was written, down", fontsize=8, color=INK, x=0.01, ha="left")
    return figure


def _shown(symbol: str) -> str:
    """A symbol as a sign that can be seen."""
    return visible(symbol).replace("\n", "")
