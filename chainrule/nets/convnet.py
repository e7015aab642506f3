"""Convolutional nets by their grammar, [[convolution, nonlinearity] x N, pooling] x M, [dense, nonlinearity] x K, dense.

LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791; Simonyan & Zisserman (2015), https://arxiv.org/abs/1409.1556
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout, make_activation, widening
from chainrule.nets.layers.convolution import Convolution, Padding, check_picture, side_after
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import MapNorm, normalisation
from chainrule.nets.layers.pooling import GlobalAverage, Kind, Pool, pooled


@nets(source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791", init="he")
def convnet(inputs: tuple[int, ...], outputs: int, *, pattern: str = "32x32-pool-64x64-pool", dense: tuple[int, ...] = (128,),
            kernel: int = 3, stride: int = 1, dilation: int = 1, groups: int = 1, padding: Padding = "half", pooling: Kind = "max",
            window: int = 2, head: Literal["flat", "average"] = "flat", activation: str = "relu", norm: MapNorm = "none",
            dropout: float = 0.0) -> nn.Module:
    """Layers as a pattern names them, 32x32-pool-64: (n, c, h, w) -> (n, outputs).

    Numbers joined by x are convolutions of so many maps, `pool` takes the greatest or the mean of each `window` x `window` places; `dense`
    are hidden layers above, with `dropout`. `stride`, `dilation` and `groups` are those of all convolutions, but that the first one has one
    group. `head=average` takes each last map's mean. Raises InputError for a pattern that cannot be read and pictures that it does not fit.
    """
    channels, *sides = check_picture("convnet", inputs)
    check_dropout("convnet", dropout)
    if any(units < 1 for units in dense) or window < 1:
        raise InputError(f"convnet expects windows and dense layers of at least one unit; got window={window}, "
                         f"dense={'x'.join(map(str, dense))}. Write e.g. convnet:dense=128.")
    plan = read_pattern(pattern)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    wider, convolutions, pools = widening(activation), 0, 0
    for part in plan:
        if part is None:
            pools += 1
            layers[f"pool{pools}"] = Pool(pooling, window, window)
            sides = [pooled(side, window, window) for side in sides]
            continue
        convolutions += 1
        layers[f"conv{convolutions}"] = Convolution(channels, part * wider, kernel, stride=stride, padding=padding, dilation=dilation,
                                                    groups=groups if convolutions > 1 else 1)
        if norm != "none":
            layers[f"norm{convolutions}"] = normalisation("convnet", norm, part * wider, 2, maps=True)
        layers[f"{activation}{convolutions}"] = make_activation(activation)
        channels, sides = part, [side_after(side, kernel, stride=stride, padding=padding, dilation=dilation) for side in sides]
        if min(sides) < 1:
            raise InputError(f"convnet with pattern={pattern}, kernel={kernel}, padding={padding} leaves nothing of pictures of "
                             f"{inputs[1]} x {inputs[2]} at convolution {convolutions}. Use padding=half, or fewer layers.")
    below: tuple[int, ...] = (channels, *sides)
    if head == "average":
        layers["average"], below = GlobalAverage(), (channels,)
    for i, units in enumerate(dense, 1):
        layers[f"dense{i}"] = Dense(below, units * wider)
        layers[f"dense_{activation}{i}"] = make_activation(activation)
        if dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        below = (units,)
    layers["output"] = Dense(below, outputs)
    return nn.Sequential(layers)


def read_pattern(pattern: str) -> list[int | None]:
    """The numbers of maps of the convolutions in order, None for pooling. Raises InputError for anything else."""
    plan: list[int | None] = []
    for part in pattern.split("-"):
        if part == "pool":
            plan.append(None)
            continue
        numbers = part.split("x")
        if not all(number.isdecimal() and int(number) > 0 for number in numbers):
            raise InputError(f"convnet expects numbers of maps joined by x, and pool, joined by -; got '{part}' in '{pattern}'. "
                             "Write e.g. convnet:pattern=32x32-pool-64x64-pool.")
        plan += map(int, numbers)
    return plan
