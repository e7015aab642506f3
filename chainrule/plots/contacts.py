"""Maps of contacts: the pairs that touch above the diagonal, the probability that is answered below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.registry import pictures
from chainrule.evaluate.contacts import residues
from chainrule.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST, ACROSS = 6, 3      # chains drawn, and how many beside one another
SIDE = 2.4               # inches


@pictures("contact-maps", source="Moult et al. (2016), https://doi.org/10.1002/prot.25064", task="contacts", when=("test", "report"))
def contact_maps(answer: Tensor, truth: Tensor, names: Sequence[str]) -> Figure:
    """Probabilities (k, t, t) below the diagonal and contacts (k, t, t), which are 1, above it, each chain as long as it is.

    Above each stands how many of its likeliest pairs, as many as truly touch, do touch.
    """
    from matplotlib.figure import Figure

    shown = min(len(truth), MOST)
    rows = -(-shown // ACROSS)
    figure = Figure(figsize=(ACROSS * SIDE, rows * (SIDE + 0.3)), layout="constrained")
    cells = list(figure.subplots(rows, ACROSS, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    for axes, chances, true, length in zip(cells, answer, truth, residues(truth[:shown]).tolist(), strict=False):
        chances, true = chances[:length, :length].float(), true[:length, :length]
        right = hits(chances, true)
        both = torch.triu(true == 1, 1).float() + torch.tril(torch.where(true >= 0, chances, 0.0), -1)
        axes.set_axis_on()
        axes.imshow(both.numpy(), cmap="Greys", vmin=0, vmax=1, interpolation="nearest", extent=(0.5, length + 0.5, length + 0.5, 0.5))
        axes.plot([0.5, length + 0.5], [0.5, length + 0.5], color=INK, linewidth=0.5)
        axes.set_title(f"{right[0]} of {right[1]}", fontsize=8, color=INK, pad=3)
        axes.tick_params(labelsize=6, length=2)
    figure.supxlabel("residue; below the diagonal as answered, above as true", fontsize=8, color=INK)
    return figure


def hits(chances: Tensor, true: Tensor) -> tuple[int, int]:
    """Of the likeliest pairs (t, t) that are asked for, as many as touch: how many of them do, and how many they are."""
    asked = torch.triu(true >= 0, 1)
    touch = true[asked] == 1
    number = int(touch.sum())
    return int(touch[chances[asked].argsort(descending=True, stable=True)[:number]].sum()), number
