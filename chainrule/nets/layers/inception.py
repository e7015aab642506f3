"""Modules whose branches read the same maps, and heads on maps half-way up: Szegedy et al. (2015), https://arxiv.org/abs/1409.4842"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import BatchNorm
from chainrule.nets.layers.pooling import Pool, pooled

Size = int | tuple[int, int]


class Branches(nn.Module):
    """The maps of all branches behind one another: (n, c, h, w) -> (n, sum of the branches' maps, h', w')."""

    def __init__(self, **branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleDict(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches.values()], 1)


def unit(inputs: int, outputs: int, kernel: Size = 1, *, stride: int = 1, norm: bool = True, padded: bool = True) -> nn.Sequential:
    """A convolution, padded by half its kernel unless not `padded`, batch normalisation where asked, and a rectifier."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if padded else 0
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=not norm))
    if norm:
        layers["norm"] = BatchNorm(outputs)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


def chain(inputs: int, widths: Sequence[int], kernels: Sequence[Size], *, stride: int = 1, norm: bool = True,
          padded: bool = True) -> nn.Module:
    """Units one after the other; the last one takes the stride, and goes without padding where not `padded`."""
    layers, last = [], len(widths) - 1
    for i, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
        layers.append(unit(inputs, width, kernel, stride=stride if i == last else 1, norm=norm, padded=padded or i < last))
        inputs = width
    return nn.Sequential(*layers)


class AuxiliaryHead(nn.Module):
    """A classifier on maps half-way up, so that the gradient reaches the lower layers: (n, c, h, w) -> (n, outputs).

    Pooling over 5 x 5 windows three apart, 1 x 1 kernels, a dense layer, dropout.
    """

    def __init__(self, inputs: int, sides: Sequence[int], outputs: int, *, maps: int, hidden: int, dropout: float, norm: bool):
        super().__init__()
        self.pool, self.mix = Pool("average", 5, 3), unit(inputs, maps, norm=norm)
        left = [pooled(side, 5, 3) for side in sides]
        self.hidden, self.relu, self.dropout = Dense((maps, *left), hidden), nn.ReLU(), nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.dropout(self.relu(self.hidden(self.mix(self.pool(x))))))
        return scores
