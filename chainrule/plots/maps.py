"""The pictures of a segmentation: each beside the map that is true and the one that is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from chainrule.core.maps import central
from chainrule.core.registry import pictures
from chainrule.plots.style import COLOURS, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST, ACROSS = 12, 2     # pictures drawn, and how many of them, with their maps, stand beside one another
SIDE = 1.5               # inches


@pictures("maps", source="Mnih & Hinton (2010), https://doi.org/10.1007/978-3-642-15567-3_16", task="segmentation", when=("test", "report"))
def maps(answer: Tensor, truth: Tensor, names: Sequence[str], images: Tensor) -> Figure:
    """Pictures uint8 (k, c, h, w), their true maps (k, h, w) and the likeliest classes of answers (k, h', w', classes), a class a colour.

    Above each stands the share of pixels right; of nets that answer for the middle the middle is drawn.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    answered = answer.argmax(-1)[:MOST]                                          # (k, h', w')
    true = central(truth[:MOST], answered.shape[1:])
    seen = central(images[:MOST], answered.shape[1:])
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    rows = -(-len(answered) // ACROSS)
    tall = SIDE * answered.shape[1] / answered.shape[2]
    figure = Figure(figsize=(3 * ACROSS * SIDE, rows * (tall + 0.25) + 0.45), layout="constrained")
    cells = figure.subplots(rows, 3 * ACROSS, squeeze=False)
    for axes in cells.flat:
        axes.set_axis_off()
    for at in range(len(answered)):
        beside = cells[at // ACROSS, 3 * (at % ACROSS) :]
        right = float((answered[at] == true[at]).double().mean())
        beside[0].imshow(picture(seen[at]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for axes, map_, title in ((beside[1], true[at], "true"), (beside[2], answered[at], f"answered, {100 * right:.0f} %")):
            axes.imshow(map_.numpy(), cmap=ListedColormap(colours), vmin=-0.5, vmax=len(names) - 0.5, interpolation="nearest")
            axes.set_title(title, fontsize=8, color=INK, pad=3)
    keys = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(names), 6), fontsize=8, frameon=False)
    return figure


def picture(pixels: Tensor) -> np.ndarray:
    """A picture (c, h, w) as it is drawn: (h, w, 3), or (h, w) where it has one channel or a number that is no colour."""
    drawn: np.ndarray = pixels.permute(1, 2, 0).numpy() if len(pixels) == 3 else pixels.float().mean(0).numpy()
    return drawn
