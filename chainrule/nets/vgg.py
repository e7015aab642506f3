"""VGG: Simonyan & Zisserman (2015), https://arxiv.org/abs/1409.1556"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import block, check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import MapNorm
from chainrule.nets.layers.pooling import Pool, pooled

MAPS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}     # of each stage


@nets("vgg", source="Simonyan & Zisserman (2015), https://arxiv.org/abs/1409.1556", init="he")
class VGG(nn.Module):
    """Five stages of 3 x 3 convolutions, each halved by pooling, and three dense layers: (n, c, h, w) -> (n, outputs).

    `depth` counts the layers with weights, configurations A, B, D and E of table 1. A stage whose maps are single places is not pooled, so
    that small pictures fit. `width` scales every layer's units.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, depth: int = 16, norm: MapNorm = "none", dropout: float = 0.5,
                 width: float = 1.0):
        super().__init__()
        channels, *sides = check_picture("vgg", inputs)
        check_dropout("vgg", dropout)
        if depth not in CONVOLUTIONS:
            raise InputError(f"vgg depth must be one of {', '.join(map(str, CONVOLUTIONS))}; got {depth}. Write e.g. vgg:depth=16.")
        units = round(width * 4096)
        if round(width * MAPS[0]) < 1:
            raise InputError(f"vgg expects a width that leaves every layer a unit; got {width}. Write e.g. vgg:width=0.25.")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, (count, maps) in enumerate(zip(CONVOLUTIONS[depth], MAPS, strict=True), 1):
            for i in range(1, count + 1):
                layers[f"conv{stage}_{i}"] = block("vgg", channels, round(width * maps), 3, norm=norm)
                channels = round(width * maps)
            if max(sides) > 1:
                layers[f"pool{stage}"] = Pool()
                sides = [pooled(side) for side in sides]
        self.features = nn.Sequential(layers)
        self.dense = nn.Sequential(OrderedDict(
            dense1=Dense((channels, *sides), units), relu1=nn.ReLU(), dropout1=nn.Dropout(dropout),
            dense2=Dense((units,), units), relu2=nn.ReLU(), dropout2=nn.Dropout(dropout),
            output=nn.Linear(units, outputs),
        ))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.dense(self.features(x))
        return scores
