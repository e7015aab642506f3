"""Blocks of convolutions with what goes around them: shortcuts, pre-activation, bottlenecks, blocks left out at random.

He, Zhang, Ren & Sun (2016), https://doi.org/10.1109/CVPR.2016.90 (v1); He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1603.05027
(v2, normalised and rectified before the convolutions); Huang, Sun, Liu, Sedra & Weinberger (2016), https://arxiv.org/abs/1603.09382
(stochastic depth)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.nets.layers.convolution import Convolution
from chainrule.nets.layers.normalisation import BatchNorm

Form = Literal["v1", "v2"]
Shortcut = Literal["pad", "projection", "none"]
EXPANSION = 4              # how many times as many maps a bottleneck gives as it has inside


class PaddedShortcut(nn.Module):
    """Every `stride`-th place, and zeros for the maps that are new (option A): (n, c, h, w) -> (n, outputs, h', w')."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.new, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))


class StochasticDepth(nn.Module):
    """A residual that in training is left out with probability `rate`, of a whole batch, and in use counts 1 - rate: the same shape."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * (1 - self.rate)
        return x * (torch.rand((), device=x.device) >= self.rate).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class Residual(nn.Module):
    """Convolutions with batch normalisation, and the shortcut that is added: (n, inputs, h, w) -> (n, outputs, h', w').

    `kernels` are the convolutions' sizes and `maps` what each gives. v1 rectifies the sum; v2 normalises and rectifies before each
    convolution, and adds nothing after. The convolution of more than one place takes the stride.
    """

    def __init__(self, inputs: int, maps: Sequence[int], kernels: Sequence[int], *, stride: int = 1, form: Form = "v1",
                 shortcut: Shortcut = "projection", drop: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.form, outputs, channels = form, maps[-1], inputs
        strided = next(i for i, kernel in enumerate(kernels) if kernel > 1)
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, (count, kernel) in enumerate(zip(maps, kernels, strict=True)):
            self.norms.append(BatchNorm(channels if form == "v2" else count))
            self.convolutions.append(Convolution(channels, count, kernel, stride=stride if i == strided else 1, bias=False))
            channels = count
        self.shortcut = None if shortcut == "none" else make_shortcut(inputs, outputs, stride, form, shortcut)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.depth = StochasticDepth(drop) if drop else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self._before(x) if self.form == "v2" else self._after(x)

    def _after(self, x: Tensor) -> Tensor:
        """v1: convolution, normalisation, rectifier; the last one after the sum."""
        y, last = x, len(self.convolutions) - 1
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(y))
            y = self.dropout(y.relu()) if i < last else y
        total: Tensor = self.depth(y) if self.shortcut is None else self.depth(y) + self.shortcut(x)
        return total.relu()

    def _before(self, x: Tensor) -> Tensor:
        """v2: normalisation, rectifier, convolution; a projection reads the first rectified maps."""
        y, start = x, x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(y).relu()
            if i == 0 and isinstance(self.shortcut, nn.Conv2d):
                start = y
            y = convolution(self.dropout(y) if i else y)
        total: Tensor = self.depth(y) if self.shortcut is None else self.depth(y) + self.shortcut(start)
        return total


def make_shortcut(inputs: int, outputs: int, stride: int, form: Form, shortcut: Shortcut) -> nn.Module:
    """The way around a block: the identity where shapes agree, else zeros for new maps or a 1 x 1 convolution."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    if shortcut == "pad":
        return PaddedShortcut(inputs, outputs, stride)
    projection = Convolution(inputs, outputs, 1, stride=stride, bias=False)
    return projection if form == "v2" else nn.Sequential(projection, BatchNorm(outputs))


def residual_stage(inputs: int, width: int, blocks: int, *, stride: int, bottleneck: bool, form: Form, shortcut: Shortcut,
                   drops: Sequence[float], dropout: float = 0.0) -> tuple[nn.Sequential, int]:
    """So many blocks, the first with the stride, and how many maps they give. `drops` are their rates of stochastic depth."""
    maps, kernels = ((width, width, width * EXPANSION), (1, 3, 1)) if bottleneck else ((width, width), (3, 3))
    parts = []
    for i in range(blocks):
        parts.append(Residual(inputs, maps, kernels, stride=stride if i == 0 else 1, form=form, shortcut=shortcut, drop=drops[i],
                              dropout=dropout))
        inputs = maps[-1]
    return nn.Sequential(*parts), inputs
