"""The all convolutional net: Springenberg, Dosovitskiy, Brox & Riedmiller (2015), https://arxiv.org/abs/1412.6806"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import block, check_picture
from chainrule.nets.layers.normalisation import MapNorm
from chainrule.nets.layers.pooling import GlobalAverage

LAYERS = ((96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))    # maps, kernel, stride


@nets("all-cnn", source="Springenberg et al. (2015), https://arxiv.org/abs/1412.6806", init="he")
def all_convolutional(inputs: tuple[int, ...], outputs: int, *, norm: MapNorm = "none", dropout: float = 0.5, input_dropout: float = 0.2,
                      width: float = 1.0) -> nn.Module:
    """Convolutions alone, two of them two places apart instead of pooling (All-CNN-C): (n, c, h, w) -> (n, outputs).

    `width` scales the maps of every layer but the last, whose means are the outputs.
    """
    channels, *_ = check_picture("all-cnn", inputs)
    for share in (dropout, input_dropout):
        check_dropout("all-cnn", share)
    layers: OrderedDict[str, nn.Module] = OrderedDict(input_dropout=nn.Dropout(input_dropout))
    for i, (maps, kernel, stride) in enumerate(LAYERS, 1):
        maps = max(1, round(width * maps))
        layers[f"conv{i}"] = block("all-cnn", channels, maps, kernel, stride=stride, norm=norm)
        if stride > 1:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        channels = maps
    layers["output"] = nn.Conv2d(channels, outputs, 1)
    layers["average"] = GlobalAverage()
    return nn.Sequential(layers)
