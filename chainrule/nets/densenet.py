"""Densely connected nets: Huang, Liu, van der Maaten & Weinberger (2017), https://arxiv.org/abs/1608.06993"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import Convolution, check_picture
from chainrule.nets.layers.normalisation import BatchNorm
from chainrule.nets.layers.pooling import GlobalAverage
from chainrule.nets.layers.stem import Stem, is_large, make_stem

FOUR_BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
BOTTLENECK = 4                                     # a bottleneck has this many times `growth` maps


class DenseLayer(nn.Module):
    """Maps normalised, rectified and convolved, by way of a bottleneck where asked: (n, c, h, w) -> (n, growth, h, w)."""

    def __init__(self, inputs: int, growth: int, bottleneck: bool, dropout: float):
        super().__init__()
        middle = BOTTLENECK * growth
        narrow = (BatchNorm(inputs), nn.ReLU(), Convolution(inputs, middle, 1, bias=False)) if bottleneck else ()
        self.narrow = nn.Sequential(*narrow)
        below = middle if bottleneck else inputs
        self.grow = nn.Sequential(BatchNorm(below), nn.ReLU(), Convolution(below, growth, 3, bias=False))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.dropout(self.grow(self.narrow(x)))
        return maps


class DenseBlock(nn.Module):
    """Layers that each read all maps before them: (n, c, h, w) -> (n, c + layers * growth, h, w)."""

    def __init__(self, inputs: int, layers: int, growth: int, bottleneck: bool, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(inputs + i * growth, growth, bottleneck, dropout) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Module):
    """Normalised maps mixed into fewer, and pooled where there is room: (n, c, h, w) -> (n, outputs, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm, self.mix = BatchNorm(inputs), Convolution(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.mix(self.norm(x).relu())
        return F.avg_pool2d(maps, 2) if min(maps.shape[2:]) > 1 else maps


@nets("densenet", source="Huang et al. (2017), https://arxiv.org/abs/1608.06993", init="he")
class DenseNet(nn.Module):
    """Blocks in which every layer reads all layers before it: (n, c, h, w) -> (n, outputs).

    Depth 121, 169, 201 and 264 are the four-block nets for large pictures, with growth 32, bottlenecks and compression .5 where these are
    left out; other depths have three blocks: 3 n + 4, with bottlenecks 6 n + 4. `growth` is how many maps a layer adds, `compression` the
    share that a transition keeps.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, depth: int = 40, growth: int | None = None, bottleneck: bool | None = None,
                 compression: float | None = None, dropout: float = 0.0, stem: Stem = "auto"):
        super().__init__()
        picture, four = check_picture("densenet", inputs), depth in FOUR_BLOCKS
        check_dropout("densenet", dropout)
        growth = growth or (32 if four else 12)
        bottleneck = four if bottleneck is None else bottleneck
        share = (0.5 if four else 1.0) if compression is None else compression
        if growth < 1 or not 0 < share <= 1:
            raise InputError(f"densenet expects a growth of at least 1 and a compression above 0 and at most 1; got growth={growth}, "
                             f"compression={share}. Write e.g. densenet:growth=12,compression=0.5.")
        counts = FOUR_BLOCKS.get(depth) or _three_blocks(depth, bottleneck)
        channels = 2 * growth if bottleneck else 16
        self.stem = make_stem(picture[0], channels, is_large(picture, stem), normalised=False)
        self.blocks = nn.Sequential()
        for i, layers in enumerate(counts):
            self.blocks.append(DenseBlock(channels, layers, growth, bottleneck, dropout))
            channels += layers * growth
            if i + 1 < len(counts):
                self.blocks.append(Transition(channels, int(share * channels)))
                channels = int(share * channels)
        self.norm, self.average, self.output = BatchNorm(channels), GlobalAverage(), nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.average(self.norm(self.blocks(self.stem(x))).relu()))
        return scores


def _three_blocks(depth: int, bottleneck: bool) -> tuple[int, ...]:
    """The layers of three equal blocks. Raises InputError naming the two nearest depths."""
    step = 6 if bottleneck else 3
    if depth < step + 4 or (depth - 4) % step:
        below = max(step + 4, (depth - 4) // step * step + 4)
        raise InputError(f"densenet depth must be {step}n+4{' with bottlenecks' if bottleneck else ''}, or one of "
                         f"{', '.join(map(str, FOUR_BLOCKS))}; got {depth}. The nearest are {below} and {below + step}.")
    return ((depth - 4) // step,) * 3
