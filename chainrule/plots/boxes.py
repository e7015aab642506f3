"""The pictures of a detection, with the boxes that are true and those that are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.evaluate.detection import SURE
from chainrule.plots.maps import picture
from chainrule.plots.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS, SIDE = 6, 1.9                           # pictures beside one another, and the width of each in inches
TRUE, ANSWERED = COLOURS[2], COLOURS[1]


@pictures("boxes", source="Everingham et al. (2010), https://doi.org/10.1007/s11263-009-0275-4", task="detection", when=("test", "report"))
def boxes(answer: Tensor, truth: Tensor, names: Sequence[str], images: Tensor, classes: Sequence[str]) -> Figure:
    """Pictures uint8 (k, c, h, w) with their true boxes (k, b, 5) and, dashed, the answered ones (k, m, 6) of at least 0.5 confidence."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = -(-len(images) // ACROSS)
    tall = SIDE * images.shape[2] / images.shape[3]
    figure = Figure(figsize=(ACROSS * SIDE, rows * (tall + 0.06) + 0.35), layout="constrained")
    cells = figure.subplots(rows, ACROSS, squeeze=False)
    for axes in cells.flat:
        axes.set_axis_off()
    high, wide = images.shape[2:]
    for axes, pixels, answers, boxes in zip(cells.flat, images, answer.tolist(), truth.tolist(), strict=False):
        axes.imshow(picture(pixels), cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=(0, wide, high, 0))
        for *edges, label in boxes:
            if label >= 0:
                _draw(axes, edges, TRUE, "solid", classes[int(label)], above=True)
        for *edges, label, confidence in answers:
            if confidence >= SURE:
                _draw(axes, edges, ANSWERED, "dashed", f"{classes[int(label)]} {100 * confidence:.0f} %", above=False)
        axes.set_xlim(0, wide)
        axes.set_ylim(high, 0)
    keys = [Line2D([], [], color=TRUE, label="true"), Line2D([], [], color=ANSWERED, linestyle="dashed", label="answered")]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _draw(axes: Any, edges: Sequence[float], colour: str, style: str, words: str, *, above: bool) -> None:
    """A box with its words inside its upper or its lower edge."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = edges
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linestyle=style, linewidth=1.3))
    axes.text(x0 + 0.5, y0 if above else y1, words, fontsize=5.5, color="white", va="bottom" if above else "top", clip_on=True,
              bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6, "alpha": 0.85})
