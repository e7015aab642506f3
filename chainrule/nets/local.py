"""Locally connected layers, kernels that are not shared between places: LeCun (1989), Generalization and network design strategies,
https://yann.lecun.com/exdb/publis/pdf/lecun-89.pdf; Mnih & Hinton (2010), https://doi.org/10.1007/978-3-642-15567-3_16
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import make_activation, widening
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.dense import Dense


class LocalLayer(nn.Module):
    """A kernel of its own at every place: (n, inputs, h, w) -> (n, outputs, h', w').

    The last windows reach over the edge, so that every pixel is seen. The weights are (places * outputs, inputs * kernel^2), a row a unit,
    so that its fan-in is the second axis.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, sides: list[int]):
        super().__init__()
        self.kernel, self.stride, self.outputs = kernel, stride, outputs
        self.sides = [-(-(side - kernel) // stride) + 1 for side in sides]
        self.margin = [(places - 1) * stride + kernel - side for places, side in zip(self.sides, sides, strict=True)]
        places, fan_in = math.prod(self.sides), inputs * kernel**2
        self.weight = nn.Parameter(torch.randn(places * outputs, fan_in).mul_(fan_in**-0.5))
        self.bias = nn.Parameter(torch.zeros(places * outputs))

    def forward(self, x: Tensor) -> Tensor:
        below, right = self.margin
        patches = F.unfold(F.pad(x, (0, right, 0, below)), self.kernel, stride=self.stride)       # (n, fan_in, places)
        weight = self.weight.unflatten(0, (-1, self.outputs))                                    # (places, outputs, fan_in)
        units = torch.einsum("nfp,pof->npo", patches, weight) + self.bias.unflatten(0, (-1, self.outputs))
        maps: Tensor = units.transpose(1, 2).unflatten(2, self.sides)
        return maps


@nets("local", source="Mnih & Hinton (2010), https://doi.org/10.1007/978-3-642-15567-3_16", init="he",
      tasks=("classification", "regression", "segmentation"))
def local(inputs: tuple[int, ...], outputs: int, *, maps: tuple[int, ...] = (16, 16), kernel: int = 5, stride: int = 2, hidden: int = 128,
          activation: str = "relu", centre: int = 0) -> nn.Module:
    """Layers with a kernel of their own at every place, and a dense layer: (n, c, h, w) -> (n, outputs).

    With `centre` it labels the middle of a patch, as the road finder does: (n, c, h, w) -> (n, outputs, centre, centre).
    """
    channels, *sides = check_picture("local", inputs)
    if not 0 <= centre <= min(sides):
        raise InputError(f"local answers for the central part of {inputs[1]} x {inputs[2]} pixels; got centre={centre}. Write e.g. "
                         f"local:centre={max(1, min(sides) // 4)}.")
    if not maps or min(*maps, kernel, stride, hidden) < 1:
        raise InputError(f"local expects maps, kernel, stride and hidden of at least 1; got maps={'x'.join(map(str, maps)) or 'none'}, "
                         f"kernel={kernel}, stride={stride}, hidden={hidden}. Write e.g. local:maps=16x16,kernel=5.")
    layers, wider = list[nn.Module](), widening(activation)
    for count in maps:
        if min(sides) < kernel:
            raise InputError(f"local with {len(maps)} layers of {kernel} x {kernel} kernels, {stride} apart, leaves {sides[0]} x "
                             f"{sides[1]} places of {inputs[1]} x {inputs[2]} for the next. Use fewer maps or a smaller kernel.")
        layer = LocalLayer(channels, count * wider, kernel, stride, sides)
        layers += [layer, make_activation(activation)]
        channels, sides = count, layer.sides
    answers = nn.Linear(hidden, outputs * max(1, centre) ** 2)
    places = [nn.Unflatten(1, (outputs, centre, centre))] if centre else []
    return nn.Sequential(*layers, Dense((channels, *sides), hidden * wider), make_activation(activation), answers, *places)
