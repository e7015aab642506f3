"""The convolutional maxout net: Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), https://proceedings.mlr.press/v28/goodfellow13.html"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import Maxout, check_dropout
from chainrule.nets.layers.convolution import Convolution, check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.pooling import Pool, pooled


@nets("maxout", source="Goodfellow et al. (2013), PMLR 28(3):1319, https://arxiv.org/abs/1302.4389", init="xavier")
def maxout(inputs: tuple[int, ...], outputs: int, *, filters: tuple[int, ...] = (96, 192, 192), kernels: tuple[int, ...] = (8, 8, 5),
           pieces: int = 2, hidden: int = 500, hidden_pieces: int = 5, dropout: float = 0.5, map_dropout: float = 0.2) -> nn.Module:
    """Convolutions whose maps are the greatest of `pieces`, pooled, and a dense layer of such units: (n, c, h, w) -> (n, outputs).

    Filters, kernels and pieces are those of the CIFAR-10 experiment; pooling takes 4 x 4 windows two apart, the last one 2 x 2.
    """
    channels, *sides = check_picture("maxout", inputs)
    check_dropout("maxout", dropout)
    check_dropout("maxout", map_dropout)
    if len(filters) != len(kernels) or min(*filters, *kernels, hidden) < 1:
        raise InputError(f"maxout expects as many kernels as filters, and a unit in every layer; got "
                         f"filters={'x'.join(map(str, filters))}, kernels={'x'.join(map(str, kernels))}, hidden={hidden}. "
                         "Write e.g. maxout:filters=48x96,kernels=5x5.")
    layers: OrderedDict[str, nn.Module] = OrderedDict(input_dropout=nn.Dropout(map_dropout))
    for i, (maps, kernel) in enumerate(zip(filters, kernels, strict=True), 1):
        window = 2 if i == len(filters) else 4
        layers[f"conv{i}"] = Convolution(channels, maps * pieces, kernel, padding="same")
        layers[f"maxout{i}"], layers[f"pool{i}"] = Maxout(pieces), Pool("max", window, 2)
        layers[f"dropout{i}"] = nn.Dropout(map_dropout if i < len(filters) else dropout)
        channels, sides = maps, [pooled(side, window, 2) for side in sides]
    layers["hidden"], layers["maxout"] = Dense((channels, *sides), hidden * hidden_pieces), Maxout(hidden_pieces)
    layers["dropout"], layers["output"] = nn.Dropout(dropout), nn.Linear(hidden, outputs)
    return nn.Sequential(layers)
