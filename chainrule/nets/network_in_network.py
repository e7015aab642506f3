"""Network in network: Lin, Chen & Yan (2014), https://arxiv.org/abs/1312.4400"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.mlp_convolution import STAGES, mlp_convolution
from chainrule.nets.layers.pooling import GlobalAverage, Pool


@nets("nin", source="Lin, Chen & Yan (2014), https://arxiv.org/abs/1312.4400", init="he")
def network_in_network(inputs: tuple[int, ...], outputs: int, *, dropout: float = 0.5, width: float = 1.0) -> nn.Module:
    """Three stages of a convolution under two of 1 x 1, and the mean of the last maps, one a class: (n, c, h, w) -> (n, outputs).

    `width` scales the maps of every layer but the last.
    """
    channels, *_ = check_picture("nin", inputs)
    check_dropout("nin", dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (kernel, maps) in enumerate(STAGES, 1):
        layers[f"stage{stage}"], channels = mlp_convolution("nin", channels, kernel, maps, width)
        if stage < len(STAGES):
            layers[f"pool{stage}"] = Pool("max" if stage == 1 else "average", 3, 2)
            layers[f"dropout{stage}"] = nn.Dropout(dropout)
    layers["output"] = nn.Conv2d(channels, outputs, 1)
    layers["average"] = GlobalAverage()
    return nn.Sequential(layers)
