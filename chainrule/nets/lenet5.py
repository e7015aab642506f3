"""LeNet-5 as published: LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791, section II.B"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.registry import nets
from chainrule.nets.layers.activation import ScaledTanh
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.pooling import SubSampling

SIDE = 32                                                                 # of the pictures that the paper's net reads
MAPS = 6
TRIPLES = [[(first + i) % MAPS for i in range(3)] for first in range(MAPS)]
QUADRUPLES = [[(first + i) % MAPS for i in range(4)] for first in range(MAPS)] + [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]


@nets("lenet5", source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791", init="lecun")
class LeNet5(nn.Module):
    """Seven layers for pictures of 32 x 32, smaller ones with a margin of zeros: (n, c, h, w) -> (n, outputs).

    C1 six maps, S2 trained sub-sampling, C3 sixteen maps that each see some of the six (table I), S4, C5 120 units, F6 84 units, and
    `output=rbf`, minus the squared distances to fixed codes of +-1 a class, or `dense`, a layer that learns. Codes are drawn, as the paper
    suggests where characters have no usual bitmap. Larger pictures need a C5 kernel of their size.
    """

    codes: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, output: Literal["dense", "rbf"] = "dense"):
        super().__init__()
        channels, height, width = check_picture("lenet5", inputs)
        self.margin = [max(SIDE - width, 0), max(SIDE - height, 0)]
        sides = [((side + margin - 4) // 2 - 4) // 2 for side, margin in zip((height, width), self.margin[::-1], strict=True)]
        self.c1, self.s2 = nn.Conv2d(channels, MAPS, 5), SubSampling(MAPS)
        self.c3 = SparseMaps()
        self.s4, self.c5 = SubSampling(16), nn.Conv2d(16, 120, (sides[0], sides[1]))
        self.f6, self.squash = nn.Linear(120, 84), ScaledTanh()
        self.output = nn.Linear(84, outputs) if output == "dense" else None
        if self.output is None:
            self.register_buffer("codes", torch.randint(0, 2, (outputs, 84)) * 2.0 - 1)

    def forward(self, x: Tensor) -> Tensor:
        (right, below), squash = self.margin, self.squash
        x = F.pad(x, (right // 2, right - right // 2, below // 2, below - below // 2))
        maps = squash(self.s2(squash(self.c1(x))))                        # (n, 6, 14, 14)
        maps = squash(self.s4(squash(self.c3(maps))))                     # (n, 16, 5, 5)
        features = squash(self.f6(squash(self.c5(maps)).flatten(1)))      # (n, 84)
        if self.output is None:
            away: Tensor = (features[:, None] - self.codes).square().sum(2)
            return -away
        scores: Tensor = self.output(features)
        return scores


class SparseMaps(nn.Module):
    """C3, where six maps see three neighbours, six four, three two pairs, one all: (n, 6, h, w) -> (n, 16, h - 4, w - 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.triples = nn.Conv2d(3 * len(TRIPLES), len(TRIPLES), 5, groups=len(TRIPLES))
        self.quadruples = nn.Conv2d(4 * len(QUADRUPLES), len(QUADRUPLES), 5, groups=len(QUADRUPLES))
        self.every = nn.Conv2d(MAPS, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        of_three = self.triples(torch.cat([x[:, i : i + 1] for row in TRIPLES for i in row], 1))
        of_four = self.quadruples(torch.cat([x[:, i : i + 1] for row in QUADRUPLES for i in row], 1))
        return torch.cat([of_three, of_four, self.every(x)], 1)
