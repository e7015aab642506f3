"""The first layer of nets for pictures, fitted to their size: small pictures keep their places, large ones are brought down fourfold."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from chainrule.nets.layers.convolution import Convolution
from chainrule.nets.layers.normalisation import BatchNorm

Stem = Literal["auto", "small", "large"]
LARGE = 96                                          # from this height and width on `auto` is `large`


def is_large(inputs: tuple[int, int, int], stem: Stem) -> bool:
    """Whether pictures (channels, height, width) get the large stem."""
    return stem == "large" or (stem == "auto" and min(inputs[1:]) >= LARGE)


def make_stem(channels: int, maps: int, large: bool, *, normalised: bool = True) -> nn.Sequential:
    """A 3 x 3 convolution; `large`: 7 x 7, then pooling over 3 x 3, each two places apart: (n, channels, h, w) -> (n, maps, h', w').

    Without `normalised` a small stem is the convolution alone, as nets want that normalise first.
    """
    conv = Convolution(channels, maps, 7 if large else 3, stride=2 if large else 1, bias=False)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if normalised or large:
        layers["norm"], layers["relu"] = BatchNorm(maps), nn.ReLU()
    if large:
        layers["pool"] = nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(layers)
