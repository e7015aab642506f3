"""Many ADALINEs: layers of adaptive linear units with sign or smooth outputs, under adaptive or fixed logic.

Ridgway (1962), PhD thesis, Stanford; Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872; Widrow & Lehr (1990),
https://doi.org/10.1109/5.58323
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.dense import Dense

QUOTA: dict[str, Callable[[int], int]] = {"or": lambda k: 1, "and": lambda k: k, "majority": lambda k: k // 2 + 1}


@nets("madaline", source="Ridgway (1962); Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872; Widrow & Lehr (1990), "
                         "https://doi.org/10.1109/5.58323", rule="madaline-i", loss="perceptron", init="lecun")
class Madaline(nn.Module):
    """ADALINEs whose signs are read by a fixed logic, or by further ADALINEs: (n, *inputs) -> scores (n, outputs), positive for yes.

    With a fixed `output` (majority, or, and) every output has `hidden` units of its own, and its score is the sum of the unit on which the
    logic turns: its sign is the logic's answer. With output=adaptive, layers of `hidden` units, each giving its sign, lie below the
    outputs, whose scores are their sums. With units=tanh every unit, outputs included, gives the tangent instead of the sign.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (5,),
                 output: Literal["majority", "or", "and", "adaptive"] = "majority", units: Literal["sign", "tanh"] = "sign"):
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise InputError(f"madaline expects at least one unit in every layer; got hidden={'x'.join(map(str, hidden)) or 'none'}. "
                             "Write e.g. madaline:hidden=5.")
        if output != "adaptive" and len(hidden) > 1:
            raise InputError(f"madaline with output={output} has one layer of units, which the logic reads; got {len(hidden)} layers. "
                             "Use output=adaptive for more.")
        self.output, self.smooth, self.outputs = output, units == "tanh", outputs
        widths = [*hidden, outputs] if output == "adaptive" else [hidden[0] * outputs]
        self.quota = 0 if output == "adaptive" else QUOTA[output](hidden[0])
        self.layers = nn.ModuleList()
        below = inputs
        for width in widths:
            self.layers.append(Dense(below, width))
            below = (width,)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(0, self.layers[0](x))

    def fire(self, sums: Tensor) -> Tensor:
        """What units say whose sums these are: their signs, 0 counting as +1, or tangents."""
        return sums.tanh() if self.smooth else torch.where(sums >= 0, 1.0, -1.0).to(sums.dtype)

    def after(self, layer: int, sums: Tensor) -> Tensor:
        """The net's scores (n, outputs), were the sums of a layer's units these (n, units)."""
        for above in self.layers[layer + 1 :]:
            sums = above(self.fire(sums))
        if self.output != "adaptive":
            groups = sums.unflatten(1, (self.outputs, -1)).sort(2, descending=True).values # (n, outputs, hidden)
            sums = groups[:, :, self.quota - 1]
        return sums.tanh() if self.smooth else sums

    def walk(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each layer reads, (n, d), and the sums of its units, (n, units), from the inputs up."""
        layers, below = [], x.flatten(1)
        for layer in self.layers:
            layers.append((below, layer(below)))
            below = self.fire(layers[-1][1])
        return layers
