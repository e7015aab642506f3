"""Capsules with routing by agreement: Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import Head
from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.registry import nets
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.dense import stack

WEIGHT = 0.0005                    # of the squared error of the reconstruction, summed over pixels


def squash(s: Tensor, axis: int = -1) -> Tensor:
    """Vectors shrunk to a length below 1, short ones to nearly 0 (equation 1): the same shape."""
    square = s.square().sum(axis, keepdim=True)
    return s * (square / (1 + square) * (square + 1e-12).rsqrt())


class Routing(nn.Module):
    """Capsules that send to those above which agree with what others send: (n, inputs, d) -> (n, outputs, size) (procedure 1)."""

    def __init__(self, inputs: int, length: int, outputs: int, size: int, rounds: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, length, size).mul_(0.1))
        self.rounds = rounds

    def forward(self, x: Tensor) -> Tensor:
        votes = torch.einsum("nid,iods->nios", x, self.weight)                                # (n, inputs, outputs, size)
        logits = votes.new_zeros(votes.shape[:3])
        for i in range(self.rounds):
            above = squash((logits.softmax(2)[..., None] * votes).sum(1))                      # (n, outputs, size)
            if i + 1 < self.rounds:
                logits = logits + (votes * above[:, None]).sum(3)
        return above


@nets("capsnet", source="Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829", loss="margin", init="he")
class CapsNet(nn.Module):
    """Capsules of 8 numbers at each place, and one of 16 a class, whose length is the output: (n, c, h, w) -> (n, outputs).

    Lengths lie in [0, 1]. With `reconstruction`, a decoder of the right class's capsule must give the picture back; its squared error is
    a further cost. Raises InputError for a single output, and for pictures below two kernels.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, filters: int = 256, capsules: int = 32, kernel: int = 9, rounds: int = 3,
                 reconstruction: bool = True, hidden: tuple[int, ...] = (512, 1024)):
        super().__init__()
        channels, *sides = check_picture("capsnet", inputs, 2 * kernel - 1)
        if outputs < 2 or min(filters, capsules, kernel, rounds, *hidden) < 1:
            raise InputError(f"capsnet expects at least two classes, and one filter, capsule, kernel place, round and hidden unit; got "
                             f"{outputs} outputs, filters={filters}, capsules={capsules}, kernel={kernel}, rounds={rounds}. "
                             "Use --net lenet for a number.")
        self.conv = nn.Conv2d(channels, filters, kernel)
        self.primary = nn.Conv2d(filters, capsules * 8, kernel, 2)
        places = math.prod((side - 2 * kernel + 1) // 2 + 1 for side in sides)
        self.routing = Routing(capsules * places, 8, outputs, 16, rounds)
        self.decoder = stack(16 * outputs, hidden, math.prod(inputs), "relu") if reconstruction else None

    def capsules(self, x: Tensor) -> Tensor:
        """A vector (n, outputs, 16) for each class."""
        maps = self.primary(self.conv(x).relu())                                              # (n, capsules * 8, h', w')
        vectors = maps.unflatten(1, (-1, 8)).movedim(2, -1).flatten(1, 3)                      # (n, capsules * h' * w', 8)
        classes: Tensor = self.routing(squash(vectors))
        return classes

    def forward(self, x: Tensor) -> Tensor:
        return _lengths(self.capsules(x))

    def with_heads(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Head]]:
        """The lengths, and the picture that the right class's capsule is decoded into."""
        classes = self.capsules(x)
        if self.decoder is None:
            return _lengths(classes), {}
        lengths = _lengths(classes)
        picture = self.decoder((classes * one_hot_like(y, lengths)[..., None]).flatten(1))    # (n, pixels)
        return lengths, {"reconstruction": Head(WEIGHT, picture, x.flatten(1))}


def _lengths(classes: Tensor) -> Tensor:
    return (classes.square().sum(2) + 1e-12).sqrt()
