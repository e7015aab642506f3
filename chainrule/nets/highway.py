"""Highway nets: Srivastava, Greff & Schmidhuber (2015), https://arxiv.org/abs/1505.00387; https://arxiv.org/abs/1507.06228"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import make_activation, widening
from chainrule.nets.layers.convolution import Convolution, block, check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import BatchNorm
from chainrule.nets.layers.pooling import GlobalAverage, Pool

STAGES = {                                          # maps of the convolutions before each pooling, by the number of layers with weights
    19: ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
    32: ((32,) * 10, (48,) * 10, (64,) * 10),
}


class Highway(nn.Module):
    """A layer that a gate mixes with what it reads, T(x) H(x) + (1 - T(x)) x: the same shape.

    The transform gate's shift is a parameter of its own, since it starts below zero, where the layer carries its input.
    """

    def __init__(self, layer: nn.Module, gate: nn.Module, units: int, carry: float, activation: str):
        super().__init__()
        self.layer, self.gate, self.activation = layer, gate, make_activation(activation)
        self.carry = nn.Parameter(torch.full((units,), carry))

    def forward(self, x: Tensor) -> Tensor:
        shift = self.carry.reshape(-1, *[1] * (x.dim() - 2))
        transform = (self.gate(x) + shift).sigmoid()
        mixed: Tensor = transform * self.activation(self.layer(x)) + (1 - transform) * x
        return mixed


@nets("highway", source="Srivastava, Greff & Schmidhuber (2015), https://arxiv.org/abs/1505.00387", init="he")
def highway(inputs: tuple[int, ...], outputs: int, *, depth: int | None = None, carry: float = -1.0, hidden: int = 50,
            form: Literal["auto", "dense", "convolutional", "staged"] = "auto", activation: str = "relu", width: float = 1.0) -> nn.Module:
    """Layers behind gates that first let their inputs pass: (n, ...) -> (n, outputs).

    Convolutional, for pictures, of depth 19 (FitNet 4's maps; the usual one) or 32 (thin); dense, for anything else, of any depth, of
    `hidden` units. A layer that changes the number of maps has no gate. `form=staged` is a `plain` net of the same depth, 6 n + 2, and
    `width`, each of whose layers has a gate: normalised, in stages of 16, 32 and 64 maps. `carry` is the transform gates' first shift.
    """
    depth = (20 if form == "staged" else 19) if depth is None else depth
    if form == "auto":
        form = "convolutional" if len(inputs) == 3 else "dense"
    if form == "dense":
        if depth < 2 or hidden < 1:
            raise InputError(f"highway expects a depth of at least 2 and a hidden unit; got depth={depth}, hidden={hidden}. "
                             "Write e.g. highway:depth=19,hidden=50.")
        wide = hidden * widening(activation)
        layers = [Highway(nn.Linear(hidden, wide), nn.Linear(hidden, hidden, bias=False), hidden, carry, activation)
                  for _ in range(depth - 2)]
        return nn.Sequential(Dense(inputs, wide), make_activation(activation), *layers, nn.Linear(hidden, outputs))
    if form == "staged":
        return _staged(inputs, outputs, depth, carry, activation, width)
    return _convolutional(inputs, outputs, depth, carry, activation)


def _convolutional(inputs: tuple[int, ...], outputs: int, depth: int, carry: float, activation: str) -> nn.Module:
    if len(inputs) != 3 or depth not in STAGES:
        raise InputError(f"highway:form=convolutional reads pictures (channels, height, width) at depth {' or '.join(map(str, STAGES))}; "
                         f"got inputs of shape {inputs} and depth={depth}. Use form=dense, or one of these depths.")
    channels, layers, wider = inputs[0], list[nn.Module](), widening(activation)
    for stage, maps in enumerate(STAGES[depth]):
        for count in maps:
            if count == channels:
                gate = Convolution(count, count, 3, bias=False)
                layers.append(Highway(Convolution(count, count * wider, 3), gate, count, carry, activation))
            else:
                layers += [Convolution(channels, count * wider, 3), make_activation(activation)]
            channels = count
        layers.append(Pool() if stage < 2 else GlobalAverage())
    return nn.Sequential(*layers, nn.Linear(channels, outputs))


def _staged(inputs: tuple[int, ...], outputs: int, depth: int, carry: float, activation: str, width: float) -> nn.Module:
    picture, first, wider = check_picture("highway", inputs), round(16 * width), widening(activation)
    if depth < 8 or depth % 6 != 2 or first < 1:
        below = max(8, (depth - 2) // 6 * 6 + 2)
        raise InputError(f"highway:form=staged depth must be 6n+2, of at least one map; got depth={depth}, width={width}. The nearest "
                         f"depths are {below} and {below + 6}.")
    layers: list[nn.Module] = [block("highway", picture[0], first, 3, nonlinearity=activation, norm="batch")]
    channels = first
    for stage in range(3):
        maps = round(16 * width * 2**stage)
        for k in range((depth - 2) // 3):
            if k == 0 and stage > 0:
                layers.append(block("highway", channels, maps, 3, stride=2, nonlinearity=activation, norm="batch"))
            else:
                normalised = nn.Sequential(Convolution(maps, maps * wider, 3, bias=False), BatchNorm(maps * wider))
                layers.append(Highway(normalised, Convolution(maps, maps, 3, bias=False), maps, carry, activation))
            channels = maps
    return nn.Sequential(*layers, GlobalAverage(), nn.Linear(channels, outputs))
