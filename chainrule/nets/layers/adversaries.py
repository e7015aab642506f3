"""The two parts of an adversarial pair, dense or convolutional, and weights whose greatest singular value is one.

Radford, Metz & Chintala (2016), https://arxiv.org/abs/1511.06434; Miyato, Kataoka, Koyama & Yoshida (2018), https://arxiv.org/abs/1802.05957
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from chainrule.nets.layers.normalisation import BatchNorm

SQUARINGS = 8       # of the matrix of a power iteration, which begins with the same vector each time, so that nothing is carried
SLOPE = 0.2         # of rectifiers below zero
STRIDE = 2


def dense(sizes: tuple[int, ...], activation: nn.Module) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them: (n, first) -> (n, last)."""
    layers: list[nn.Module] = []
    for into, out in pairwise(sizes):
        layers += [nn.Linear(into, out), activation]
    return nn.Sequential(*layers[:-1])


class Crop(nn.Module):
    """The upper left part of pictures: (n, c, h, w) -> (n, c, height, width)."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


def upward(size: int, shape: tuple[int, int, int], filters: tuple[int, ...]) -> nn.Sequential:
    """Pictures of `shape` (c, h, w) made of vectors: (n, size) -> (n, c, h, w), each transposed convolution twice as high and wide.

    `filters` are those of the layers, the coarsest first; what is too large for pictures of any size is cut off at the end.
    """
    channels, height, width = shape
    steps = len(filters)
    tall, wide = (-(-side // STRIDE**steps) for side in (height, width))
    layers: list[nn.Module] = [nn.Linear(size, filters[0] * tall * wide), nn.Unflatten(1, (filters[0], tall, wide)), BatchNorm(filters[0]),
                               nn.ReLU()]
    for into, out in pairwise((*filters, channels)):
        layers += [nn.ConvTranspose2d(into, out, 4, STRIDE, 1), *([BatchNorm(out), nn.ReLU()])]
    return nn.Sequential(*layers[:-2], Crop(height, width))


def downward(channels: int, height: int, width: int, filters: tuple[int, ...], norm: bool) -> nn.Sequential:
    """A score of pictures: (n, c, h, w) -> (n, 1), each layer of convolutions half as high and wide; the first is never normalised."""
    layers: list[nn.Module] = []
    for at, (into, out) in enumerate(pairwise((channels, *filters))):
        layers += [nn.Conv2d(into, out, 4, STRIDE, 1), *([BatchNorm(out)] if norm and at else []), nn.LeakyReLU(SLOPE)]
        height, width = max(height // STRIDE, 1), max(width // STRIDE, 1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters[-1] * height * width, 1))


class Spectral(nn.Module):
    """A weight (out, ...) divided by its greatest singular value as a matrix (out, the rest)."""

    start: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("start", torch.randn(min(weight.flatten(1).shape)))

    def forward(self, weight: Tensor) -> Tensor:
        return weight / singular_value(weight.flatten(1), self.start)


def singular_value(matrix: Tensor, start: Tensor) -> Tensor:
    """The greatest singular value, a scalar, of a matrix (rows, columns); the vectors that it is found by count as fixed.

    They are those of the power iteration from a vector of the shorter side, 2^SQUARINGS steps of it at once: its matrix squared so often.
    """
    fixed = matrix.detach()
    short = fixed if len(fixed) <= fixed.shape[1] else fixed.T                     # (shorter, longer)
    gram = short @ short.T
    for _ in range(SQUARINGS):
        gram = gram / gram.norm()
        gram = gram @ gram
    u = nn.functional.normalize(gram @ start, dim=0)
    v = nn.functional.normalize(short.T @ u, dim=0)
    return torch.dot(u, matrix @ v) if len(fixed) <= fixed.shape[1] else torch.dot(v, matrix @ u)


def normalise(part: nn.Sequential) -> None:
    """Divide every weight of a part's layers by its greatest singular value, at every use."""
    for layer in part:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parametrize.register_parametrization(layer, "weight", Spectral(layer.weight))


def coarsest(height: int, width: int) -> int:
    """How often pictures may be halved before a side is shorter than four: at least once."""
    return max(1, int(math.log2(min(height, width) / 4)) if min(height, width) >= 8 else 1)
