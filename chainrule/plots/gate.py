"""Which expert is asked where, drawn: the gate of a mixture of experts over one or two inputs.

Jacobs, Jordan, Nowlan & Hinton (1991), https://doi.org/10.1162/neco.1991.3.1.79
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 200        # along each axis
MARGIN = 0.05


def regimes(gate: Callable[[Tensor], Tensor], x: Tensor, names: tuple[str, ...] = ("x1", "x2")) -> Figure:
    """A picture of `gate` (n, d) -> (n, experts) over the span of the samples `x` (n, d), d being 1 or 2.

    One input: each expert's probability as a line. Two: the colour of the expert that is asked most, paler where it is less sure,
    and the samples. Raises InputError for more inputs.
    """
    from matplotlib.figure import Figure

    if x.dim() != 2 or x.shape[1] not in (1, 2):
        raise InputError(f"Regimes are drawn over one or two inputs; got inputs of shape {tuple(x.shape[1:])}. "
                         "Call regimes(x) of the net for the gate's probabilities.")
    low, high = x.amin(0), x.amax(0)
    wide = (high - low).clamp(min=1e-6) * MARGIN
    axes_of = [torch.linspace(float(a), float(b), POINTS) for a, b in zip(low - wide, high + wide, strict=True)]
    at = torch.cartesian_prod(*axes_of).reshape(-1, x.shape[1]).to(x)         # (points, d)
    with torch.no_grad():
        asked = gate(at).cpu()                                                # (points, experts)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(names[0])
    if x.shape[1] == 1:
        for i in range(asked.shape[1]):
            axes.plot(axes_of[0], asked[:, i], label=f"expert {i + 1}")
        axes.plot(x[:, 0].cpu(), torch.zeros(len(x)), "|", color="0.5")
        axes.set(ylabel="probability of being asked", ylim=(-0.03, 1.03))
        axes.legend(frameon=False)
        return figure
    colours = _colours(asked.shape[1])
    picture = (asked.to(colours) @ colours).reshape(POINTS, POINTS, 3).transpose(0, 1).clamp(0, 1)    # (y, x, colour)
    spans: Any = (float(axes_of[0][0]), float(axes_of[0][-1]), float(axes_of[1][0]), float(axes_of[1][-1]))
    axes.imshow(picture.numpy(), origin="lower", extent=spans, aspect="auto")
    axes.plot(x[:, 0].cpu(), x[:, 1].cpu(), ".", color="0.2", markersize=2)
    axes.set_ylabel(names[1])
    for i, colour in enumerate(colours.tolist()):
        axes.plot([], [], "s", color=colour, label=f"expert {i + 1}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _colours(n: int) -> Tensor:
    """Colours (n, 3) that tell so many experts apart, light enough for the samples to be seen on them."""
    from matplotlib import colormaps

    return torch.tensor([[0.4 + 0.6 * c for c in colormaps["tab10"](i % 10)[:3]] for i in range(n)])
