"""Threshold units: McCulloch and Pitts's, which do not learn, the perceptron, and the Mark I; and the smooth unit that bends.

McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259; Rosenblatt (1958), https://doi.org/10.1037/h0042519, and (1962), Principles of
Neurodynamics; Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0 (tanh).
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.dense import Dense

SIDE = 20  # of the Mark I's square of photocells


@nets(source="Rosenblatt (1958), https://doi.org/10.1037/h0042519", rule="perceptron", init="zeros")
def perceptron(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A unit whose sign is the answer, or one for each class, of which the greatest is; raw scores: (n, *inputs) -> (n, outputs)."""
    return Dense(inputs, outputs)


@nets("tanh-unit", source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", loss="squared", init="xavier",
      bounded=True)
def tanh_unit(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """The hyperbolic tangent of a weighted sum: regression into [-1, 1]: (n, *inputs) -> (n, outputs)."""
    return nn.Sequential(OrderedDict(sum=Dense(inputs, outputs), tanh=nn.Tanh()))


@nets("mcculloch-pitts", source="McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259", kind="fixed")
class McCullochPitts(nn.Module):
    """A unit that fires, 1 and not 0, where enough inputs do and none that inhibits; nothing to train: (n, *inputs) -> (n, outputs).

    An input fires where it is above 0. `weights` are whole numbers, one for each input (left out: all 1); a negative one inhibits, and
    a single such input that fires silences the unit whatever the others say. The unit fires where the weights of firing inputs sum to
    at least `threshold` (left out: all that excite must fire). So AND needs no options, OR is threshold=1, and NOT weights=-1.
    Every output is the same unit. Raises InputError where the number of weights is not that of the inputs.
    """

    weights: Tensor
    inhibits: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, threshold: int | None = None, weights: tuple[int, ...] = ()):
        super().__init__()
        count = math.prod(inputs)
        if weights and len(weights) != count:
            raise InputError(f"mcculloch-pitts expects a weight for each of its {count} inputs; got {len(weights)}. "
                             f"Write weights={'x'.join(['1'] * min(count, 3))}{'x...' if count > 3 else ''}, or leave them out.")
        whole = torch.tensor(weights or (1,) * count, dtype=torch.get_default_dtype())     # (d,)
        self.outputs = outputs
        self.register_buffer("weights", whole.clamp(min=0))
        self.register_buffer("inhibits", (whole < 0).to(whole.dtype))
        self.threshold = int(self.weights.sum()) if threshold is None else threshold

    def forward(self, x: Tensor) -> Tensor:
        firing = (x.flatten(1) > 0).to(self.weights.dtype)                                 # (n, d)
        fires = (firing @ self.weights >= self.threshold) & (firing @ self.inhibits == 0)  # (n,)
        return fires.to(self.weights.dtype)[:, None].expand(-1, self.outputs)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


@nets("mark-i", source="Rosenblatt (1958), https://doi.org/10.1037/h0042519; (1962), Principles of Neurodynamics", rule="perceptron",
      init="zeros", kind="fixed features")
class MarkI(nn.Module):
    """20 x 20 photocells, fixed random threshold units of +1 and -1 connections, trained responses: (n, *picture) -> (n, outputs).

    Each photocell reads the mean light of its area of the picture (the mean of its colours). Each of the `units` association units is
    connected to `connections` random photocells, half of which excite and half inhibit it, and is on, 1 and not 0, where their sum is
    above its threshold: random too, of the size of such a sum. Only the responses learn. A row of pixels must be a square.
    """

    photocells: Tensor
    wiring: Tensor
    thresholds: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, units: int = 512, connections: int = 10):
        super().__init__()
        if units < 1 or not 2 <= connections <= SIDE * SIDE:
            raise InputError(f"mark-i expects at least one unit, and 2 to {SIDE * SIDE} connections of each; got units={units}, "
                             f"connections={connections}. Write mark-i:units=512,connections=10.")
        self.register_buffer("photocells", _areas(*_picture(inputs)))                      # (400, d)
        self.register_buffer("wiring", _wiring(units, connections))                        # (units, 400)
        spread = 0.5 * connections ** 0.5
        self.register_buffer("thresholds", (2 * torch.rand(units) - 1) * spread)           # (units,)
        self.responses = Dense((units,), outputs)

    def features(self, x: Tensor) -> Tensor:
        """The association units, on or off: (n, units)."""
        light = x.flatten(1) @ self.photocells.T                                           # (n, 400)
        return (light @ self.wiring.T > self.thresholds).to(light.dtype)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.responses(self.features(x))
        return scores


def _picture(inputs: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of inputs."""
    if len(inputs) == 3:
        return inputs
    if len(inputs) == 2:
        return 1, *inputs
    pixels = math.prod(inputs)
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if channels * side * side == pixels:
            return channels, side, side
    raise InputError(f"mark-i looks at pictures; {pixels} inputs in a row are no square of pixels, grey or in three colours. "
                     "Use --net perceptron.")


def _areas(channels: int, height: int, width: int) -> Tensor:
    """The share of each pixel in each photocell, (400, channels * height * width): rows sum to one."""
    tall, wide = (F.adaptive_avg_pool1d(torch.eye(n), SIDE).T for n in (height, width))    # (20, height), (20, width)
    return torch.kron(tall, wide).repeat(1, channels) / channels


def _wiring(units: int, connections: int) -> Tensor:
    """A random +1 or -1 for `connections` photocells of each unit, half of each, 0 for the others: (units, 400)."""
    order = torch.rand(units, SIDE * SIDE).argsort(1)                                      # (units, 400)
    signed = torch.zeros(SIDE * SIDE)
    signed[:connections] = 1.0
    signed[: connections // 2] = -1.0
    return torch.zeros(units, SIDE * SIDE).scatter(1, order, signed.expand(units, -1))
