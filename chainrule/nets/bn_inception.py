"""Inception with batch normalisation: Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167, figure 5"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.inception import Branches, chain, unit
from chainrule.nets.layers.pooling import GlobalAverage, Kind, Pool
from chainrule.nets.layers.stem import Stem, is_large

# maps: 1 x 1; 3 x 3 after its reduction; two 3 x 3 after theirs; 1 x 1 after pooling. A module without 1 x 1 goes two places at a time
MODULES: dict[str, tuple[int, int, int, int, int, Kind, int]] = {
    "3a": (64, 64, 64, 64, 96, "average", 32), "3b": (64, 64, 96, 64, 96, "average", 64), "3c": (0, 128, 160, 64, 96, "max", 0),
    "4a": (224, 64, 96, 96, 128, "average", 128), "4b": (192, 96, 128, 96, 128, "average", 128),
    "4c": (160, 128, 160, 128, 160, "average", 96), "4d": (96, 128, 192, 160, 192, "average", 96), "4e": (0, 128, 192, 192, 256, "max", 0),
    "5a": (352, 192, 320, 160, 224, "average", 128), "5b": (352, 192, 320, 192, 224, "max", 128),
}


@nets("bn-inception", source="Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167", init="he")
def bn_inception(inputs: tuple[int, ...], outputs: int, *, width: float = 1.0, stem: Stem = "auto") -> nn.Module:
    """Ten modules of branches, every convolution normalised, 5 x 5 kernels as two of 3 x 3: (n, c, h, w) -> (n, outputs).

    `width` scales every layer's maps. Small pictures keep their places in the stem.
    """
    picture = check_picture("bn-inception", inputs)
    if width * 32 < 1:
        raise InputError(f"bn-inception expects a width that leaves every layer a map; got {width}. Write e.g. bn-inception:width=0.25.")
    large, first, channels = is_large(picture, stem), round(width * 64), round(width * 192)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=unit(picture[0], first, 7 if large else 3, stride=2 if large else 1))
    if large:
        layers["pool1"] = Pool("max", 3, 2)
    layers["conv2"] = chain(first, (first, channels), (1, 3))
    if large:
        layers["pool2"] = Pool("max", 3, 2)
    for name, (one, reduce3, three, reduce5, five, pooling, projection) in MODULES.items():
        counts = (one, reduce3, three, reduce5, five, projection)
        one, reduce3, three, reduce5, five, projection = (round(width * count) for count in counts)
        stride = 1 if one else 2
        branches: dict[str, nn.Module] = {"one": unit(channels, one)} if one else {}
        branches["three"] = chain(channels, (reduce3, three), (1, 3), stride=stride)
        branches["deep"] = chain(channels, (reduce5, five, five), (1, 3, 3), stride=stride)
        pool = nn.MaxPool2d(3, stride, 1) if pooling == "max" else nn.AvgPool2d(3, stride, 1)
        branches["pool"] = nn.Sequential(pool, unit(channels, projection)) if projection else pool
        layers[name] = Branches(**branches)
        channels = one + three + five + (projection or channels)
    layers["average"], layers["output"] = GlobalAverage(), nn.Linear(channels, outputs)
    return nn.Sequential(layers)
