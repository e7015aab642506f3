"""Normalisation between a layer and its activation: over the batch, over a sample's units or groups of them, over neighbouring channels.

Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167 (batch); Ba, Kiros & Hinton (2016), https://arxiv.org/abs/1607.06450 (layer); Wu &
He (2018), https://arxiv.org/abs/1803.08494 (group); Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386 (local response)
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError

Norm = Literal["none", "batch", "layer", "group"]
MapNorm = Literal["none", "batch", "layer", "group", "local"]


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Each channel to mean 0 and variance 1 over the batch, then scaled and shifted: (n, channels, ...) -> the same.

    Evaluation uses running averages. Raises InputError for a training batch of one value a channel, which has no variance.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            raise InputError("batch normalisation takes mean and variance over a batch, and got one value a channel. Use a --batch of at "
                             "least 2, or norm=layer.")
        return super().forward(x)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes from two on."""


class GroupNorm(nn.GroupNorm):
    """Each group of channels of a sample to mean 0 and variance 1, then each channel scaled and shifted: (n, channels, ...) -> the same.

    Torch's own, by another kernel: its backward pass reads memory in ways that a native program cannot follow.
    """

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.reshape(len(x), self.num_groups, -1)                         # (n, groups, values)
        level = F.layer_norm(grouped, grouped.shape[2:], eps=self.eps).reshape(x.shape)
        shape = (-1, *[1] * (x.dim() - 2))
        return level * self.weight.reshape(shape) + self.bias.reshape(shape)


class LocalResponse(nn.Module):
    """Each value divided by (bias + alpha * the sum of squares over `size` neighbouring channels)^power: (n, channels, ...) -> the same.

    The values of section 3.3 of the paper; the alpha of `torch.nn.LocalResponseNorm` is `size` times this one.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, power: float = 0.75, bias: float = 2.0):
        super().__init__()
        self.size, self.alpha, self.power, self.bias = size, alpha, power, bias

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        squares = F.pad(x.square(), [0, 0] * (x.dim() - 2) + [self.size // 2, (self.size - 1) // 2])
        near = squares[:, :channels]
        for i in range(1, self.size):
            near = near + squares[:, i : i + channels]
        return x / (self.bias + self.alpha * near) ** self.power

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, power={self.power}, bias={self.bias}"


def normalisation(family: str, name: MapNorm, channels: int, groups: int, *, maps: bool = False) -> nn.Module:
    """The normalisation called `name` for outputs (n, channels), or for `maps` (n, channels, h, w).

    `layer` is one group: mean and variance over a whole sample, a gain and a shift for each channel. Raises InputError where groups do
    not divide the channels.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return BatchNorm(channels)
    if name == "local":
        return LocalResponse()
    parts = 1 if name == "layer" else groups
    if parts < 1 or channels % parts:
        raise InputError(f"{family} expects groups to divide the units or channels of every layer; got groups={groups} for {channels}. "
                         "Write e.g. groups=2, or norm=layer.")
    if parts == channels and not maps:
        raise InputError(f"{family} with groups={groups} has one unit in each group of a layer of {channels}: normalised, it is always 0. "
                         "Use fewer groups.")
    return GroupNorm(parts, channels)
