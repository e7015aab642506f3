"""Thin deep maxout nets: Romero, Ballas, Kahou, Chassang, Gatta & Bengio (2015), https://arxiv.org/abs/1412.6550, table 5"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import Maxout, check_dropout
from chainrule.nets.layers.convolution import Convolution, check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.pooling import Pool, pooled

STAGES = {                                                    # maps of the convolutions before each pooling
    1: ((16, 16, 16), (32, 32, 32), (48, 48, 64)),
    2: ((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    3: ((32, 48, 64, 64), (80, 80, 80, 80), (128, 128, 128)),
    4: ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
}


@nets("fitnet", source="Romero et al. (2015), https://arxiv.org/abs/1412.6550", init="xavier")
def fitnet(inputs: tuple[int, ...], outputs: int, *, form: int = 4, hidden: int = 500, dropout: float = 0.2) -> nn.Module:
    """Many thin 3 x 3 maxout convolutions in three stages, then a dense maxout layer: (n, c, h, w) -> (n, outputs).

    `form` 1 to 4 are the paper's FitNets, of 11, 11, 13 and 19 layers with weights. Every unit is the greatest of two; the last stage is
    pooled over the whole map. `dropout` follows each stage's pooling.
    """
    channels, *sides = check_picture("fitnet", inputs)
    check_dropout("fitnet", dropout)
    if form not in STAGES or hidden < 1:
        raise InputError(f"fitnet expects a form of {', '.join(map(str, STAGES))} and at least one hidden unit; got form={form}, "
                         f"hidden={hidden}. Write e.g. fitnet:form=4.")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, maps in enumerate(STAGES[form], 1):
        for i, count in enumerate(maps, 1):
            layers[f"conv{stage}_{i}"], layers[f"maxout{stage}_{i}"] = Convolution(channels, 2 * count, 3), Maxout(2)
            channels = count
        window = 2 if stage < 3 else max(sides)
        layers[f"pool{stage}"], layers[f"dropout{stage}"] = Pool("max", window, window), nn.Dropout(dropout)
        sides = [pooled(side, window, window) for side in sides]
    layers["hidden"], layers["maxout"], layers["output"] = Dense((channels, *sides), 2 * hidden), Maxout(2), nn.Linear(hidden, outputs)
    return nn.Sequential(layers)
