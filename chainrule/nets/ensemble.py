"""An ensemble as one net: perceptrons of one shape side by side, each with weights of its own, that answer by their mean.

Hansen & Salamon (1990), https://doi.org/10.1109/34.58871; from random starts alone: Lakshminarayanan, Pritzel & Blundell (2017),
arXiv:1612.01474; waves of numbers as inputs: Gorishniy, Rubachev & Babenko (2022), arXiv:2203.05556; inputs bent toward a bound:
Holzmueller, Grinsztajn & Steinwart (2024), arXiv:2407.04491
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout, make_activation, widening

SLOW = 0.2  # the spread of first frequencies: most inputs then turn less than once


class Dense(nn.Module):
    """A dense layer for each member: (members, n, inputs), or (n, inputs) for all alike, -> (members, n, outputs).

    The biases of all members are one long vector, so that penalties, which spare vectors, spare them.
    """

    def __init__(self, members: int, inputs: int, outputs: int, gain: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs).mul_(gain / math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.zeros(members * outputs))

    def forward(self, x: Tensor) -> Tensor:
        members, _, outputs = self.weight.shape
        return torch.matmul(x, self.weight) + self.bias.view(members, 1, outputs)


class Waves(nn.Module):
    """Each input beside cosines of it, whose frequencies and phases each member learns: (n, d) -> (members, n, d + d * waves)."""

    def __init__(self, members: int, inputs: int, waves: int):
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(members, inputs, waves).mul_(SLOW))  # in turns for each standard deviation of an input
        self.phase = nn.Parameter(torch.rand(members, inputs, waves).mul_(2 * math.pi))

    def forward(self, x: Tensor) -> Tensor:
        turns = x[None, :, :, None] * self.frequency[:, None]                           # (members, n, d, waves)
        waves = torch.cos(2 * math.pi * turns + self.phase[:, None])
        return torch.cat([x.expand(len(waves), *x.shape), waves.flatten(2)], 2)


@nets("ensemble", source="Hansen & Salamon (1990), https://doi.org/10.1109/34.58871")
class Ensemble(nn.Module):
    """Perceptrons side by side, linear ones where hidden is 0: each learns by itself, their mean answers; (n, *inputs) -> (n, outputs).

    In training every member has a loss of its own; with `--folds` each also has training rows of its own. `waves` cosines of each input
    are read beside it; `clip` bends inputs smoothly toward a bound of so many standard deviations, 0 leaves them as they are.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, members: int = 10, hidden: tuple[int, ...] = (64,),
                 activation: str = "relu", dropout: float = 0.0, waves: int = 0, clip: float = 0.0):
        super().__init__()
        widths = () if hidden == (0,) else hidden
        if members < 1 or any(units < 1 for units in widths) or waves < 0 or clip < 0:
            raise InputError(f"ensemble expects at least one member, one unit in every hidden layer, and no negative waves or clip; got "
                             f"members={members}, hidden={'x'.join(map(str, hidden))}, waves={waves}, clip={clip:g}. Write e.g. "
                             "ensemble:members=10,hidden=64; hidden=0 is linear.")
        check_dropout("ensemble", dropout)
        below = math.prod(inputs) * (1 + waves)
        layers: list[nn.Module] = [Waves(members, math.prod(inputs), waves)] if waves else []
        self.clip = clip
        for units in widths:
            layers += [Dense(members, below, units * widening(activation), math.sqrt(2)), make_activation(activation)]
            layers += [nn.Dropout(dropout)] if dropout else []
            below = units
        self.layers = nn.Sequential(*layers, Dense(members, below, outputs, 1.0 if widths else 0.0))

    def members(self, x: Tensor) -> Tensor:
        """What each member says: (n, members, outputs)."""
        x = x.flatten(1)                                    # (n, d)
        if self.clip:
            x = x * torch.rsqrt(1 + (x / self.clip).square())
        answers: Tensor = self.layers(x)                    # (members, n, outputs)
        return answers.transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.members(x).mean(1)
