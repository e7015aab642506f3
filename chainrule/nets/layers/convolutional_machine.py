"""Convolutional restricted Boltzmann machines whose hidden units compete in blocks: probabilistic max-pooling.

Lee, Grosse, Ranganath & Ng (2009), "Convolutional deep belief networks for scalable unsupervised learning of hierarchical representations",
https://doi.org/10.1145/1553374.1553453
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.nets.layers.machine import Kind
from chainrule.nets.layers.units import Binary, Gaussian, Units, one_of

LARGEST, SMALLEST = 5, 2        # sides of kernels that are chosen


def fitting_kernels(sides: tuple[int, ...], machines: int, pool: int) -> tuple[int, ...]:
    """The largest kernels, the lowest machine's first, under which maps of pictures of these sides fall into blocks, machine after machine.

    Empty where none do.
    """
    if not machines:
        return ()
    for kernel in range(LARGEST, SMALLEST - 1, -1):
        maps = [side - kernel + 1 for side in sides]
        if min(maps) < pool or any(side % pool for side in maps):
            continue
        above = fitting_kernels(tuple(side // pool for side in maps), machines - 1, pool)
        if len(above) == machines - 1:
            return (kernel, *above)
    return ()


class ConvolutionalMachine(nn.Module):
    """Visible maps (n, c, h, w) -> probabilities of the hidden units (n, filters, h', w').

    The energy is -sum_k h_k . (W_k * v + b_k) - c . v for binary visible units, |v - c|^2 / 2 in place of the last for Gaussian ones. Of
    each block of `pool` x `pool` hidden units of a map at most one is on; a pooling unit is on where one is.
    """

    def __init__(self, shape: tuple[int, ...], filters: int, kernel: int, pool: int, *, units: Kind = "binary"):
        super().__init__()
        if len(shape) != 3:
            raise InputError(f"A convolutional machine reads pictures (channels, height, width); got rows of {shape}. Use --net rbm.")
        channels, *sides = shape
        maps = [side - kernel + 1 for side in sides]
        if min(filters, kernel, pool) < 1 or any(side < pool or side % pool for side in maps):
            left, pictures = (" x ".join(map(str, some)) for some in (maps, sides))
            raise InputError(f"A convolutional machine divides its hidden maps into blocks of {pool} x {pool}; kernels of {kernel} leave "
                             f"maps of {left} of pictures of {pictures}. Choose another kernel or pool.")
        self.shape, self.pool, self.units = shape, pool, units
        self._visible: Units = Binary() if units == "binary" else Gaussian()
        self.pooled_shape = (filters, maps[0] // pool, maps[1] // pool)
        # so that what drives the units differs: from the small weights of machines without shared ones, most filters stay one and the same
        self.weight = nn.Parameter(torch.randn(filters, channels, kernel, kernel).mul_((channels * kernel**2) ** -0.5))
        self.visible_bias = nn.Parameter(torch.zeros(channels))
        self.hidden_bias = nn.Parameter(torch.zeros(filters))

    @property
    def places(self) -> int:
        """In how many places each filter is."""
        return math.prod(self.pooled_shape[1:]) * self.pool**2

    def forward(self, v: Tensor) -> Tensor:
        return self.hidden(v)

    def push(self, v: Tensor) -> Tensor:
        """What drives each hidden unit, in the blocks of its map: (n, c, h, w) -> (n, filters, blocks down, blocks across, pool * pool)."""
        driven = F.conv2d(v, self.weight, self.hidden_bias)
        n, filters, height, width = driven.shape
        blocks = driven.view(n, filters, height // self.pool, self.pool, width // self.pool, self.pool)
        return blocks.transpose(3, 4).flatten(4)

    def hidden(self, v: Tensor) -> Tensor:
        """The probability of each hidden unit given the visible ones: (n, c, h, w) -> (n, filters, h', w')."""
        return self._spread(_with_none(self.push(v)).softmax(-1)[..., :-1])

    def pooled(self, v: Tensor) -> Tensor:
        """The probability that a block has a unit that is on: (n, c, h, w) -> (n, filters, h' / pool, w' / pool)."""
        return 1 - _with_none(self.push(v)).softmax(-1)[..., -1]

    def visible(self, h: Tensor) -> Tensor:
        """The mean of each visible unit given the hidden ones: (n, filters, h', w') -> (n, c, h, w)."""
        return self._visible.mean(F.conv_transpose2d(h, self.weight) + self.visible_bias[:, None, None])

    def draw_hidden(self, p: Tensor) -> Tensor:
        """Hidden states drawn with probabilities `p`, at most one of a block on: (n, filters, h', w') -> the same."""
        n, filters, height, width = p.shape
        blocks = p.view(n, filters, height // self.pool, self.pool, width // self.pool, self.pool).transpose(3, 4).flatten(4)
        none = (1 - blocks.sum(-1, keepdim=True)).clamp(min=0)
        return self._spread(one_of(torch.cat([blocks, none], -1))[..., :-1])

    def draw_visible(self, mean: Tensor) -> Tensor:
        """Visible states drawn about their mean: (n, c, h, w) -> (n, c, h, w)."""
        return self._visible.draw(mean)

    def gibbs(self, v: Tensor) -> Tensor:
        """Visible states after one round of drawing the hidden units, then the visible ones: (n, c, h, w) -> (n, c, h, w)."""
        return self.draw_visible(self.visible(self.draw_hidden(self.hidden(v))))

    def free_energy(self, v: Tensor) -> Tensor:
        """Minus the log of the summed exp(-energy) over all hidden states that blocks allow: (n, c, h, w) -> (n,)."""
        over = _with_none(self.push(v)).logsumexp(-1).flatten(1).sum(1)
        if self.units == "binary":
            return -(v.sum((2, 3)) @ self.visible_bias) - over
        return 0.5 * (v - self.visible_bias[:, None, None]).square().flatten(1).sum(1) - over

    def _spread(self, blocks: Tensor) -> Tensor:
        """Units of blocks (n, filters, down, across, pool * pool) in the places of their maps: (n, filters, h', w')."""
        n, filters, down, across, _ = blocks.shape
        units = blocks.unflatten(4, (self.pool, self.pool)).transpose(3, 4)
        spread: Tensor = units.reshape(n, filters, down * self.pool, across * self.pool)
        return spread

    def extra_repr(self) -> str:
        return f"shape={self.shape}, filters={len(self.weight)}, kernel={self.weight.shape[2]}, pool={self.pool}"


def _with_none(push: Tensor) -> Tensor:
    """The drives of a block, (..., units), with that of no unit behind them, which is 0."""
    return torch.cat([push, torch.zeros_like(push[..., :1])], -1)
