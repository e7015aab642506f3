"""Pooling: the greatest or the mean of neighbouring places, and the trainable sub-sampling of LeNet-5.

LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791 (sub-sampling); Krizhevsky, Sutskever & Hinton (2012),
https://doi.org/10.1145/3065386 (overlapping windows); Lin, Chen & Yan (2014), https://arxiv.org/abs/1312.4400 (over whole maps)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["max", "average"]


class Pool(nn.Module):
    """The greatest or the mean of windows of `size` places, `stride` apart: (n, c, h, w) -> (n, c, h', w').

    Windows that reach over the lower and right edge see what there is; a map smaller than a window is one window. So any side of at least
    one stays at least one.
    """

    def __init__(self, kind: Kind = "max", size: int = 2, stride: int = 2):
        super().__init__()
        self.kind, self.size, self.stride = kind, size, stride

    def forward(self, x: Tensor) -> Tensor:
        size = min(self.size, x.shape[2]), min(self.size, x.shape[3])
        if self.kind == "max":
            return F.max_pool2d(x, size, self.stride, ceil_mode=True)
        return F.avg_pool2d(x, size, self.stride, ceil_mode=True)

    def extra_repr(self) -> str:
        return f"{self.kind}, size={self.size}, stride={self.stride}"


def pooled(side: int, size: int = 2, stride: int = 2) -> int:
    """What `Pool` leaves of a side."""
    size = min(size, side)
    places = -(-(side - size) // stride) + 1
    return places - 1 if (places - 1) * stride >= side else places


class GlobalAverage(nn.Module):
    """The mean of each map: (n, c, h, w) -> (n, c)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class SubSampling(nn.Module):
    """The sum of every 2 x 2 places times a trained gain, plus a trained shift, of each map: (n, c, h, w) -> (n, c, h / 2, w / 2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        sums = 4 * F.avg_pool2d(x, 2)
        return sums * self.gain[:, None, None] + self.bias[:, None, None]
