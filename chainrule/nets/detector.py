"""A detector of one stage: convolutions, and at each place of a coarse grid what is there and where its box reaches.

Sermanet, Eigen, Zhang, Mathieu, Fergus & LeCun (2014), https://arxiv.org/abs/1312.6229 (OverFeat: all places in one pass); Redmon, Divvala,
Girshick & Farhadi (2016), https://arxiv.org/abs/1506.02640 (YOLO: objectness, box and class of each cell)
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.convolution import block, check_picture
from chainrule.nets.layers.normalisation import MapNorm


@nets("detector", source="Redmon, Divvala, Girshick & Farhadi (2016), https://arxiv.org/abs/1506.02640", init="he", tasks=("detection",))
def detector(inputs: tuple[int, ...], outputs: int, *, filters: tuple[int, ...] = (16, 32, 64), layers: int = 2,
             norm: MapNorm = "batch", groups: int = 2, activation: str = "relu") -> nn.Module:
    """Stages that each halve the picture, and a linear layer at each place that is left: (n, c, h, w) -> (n, outputs, h', w').

    A stage has `layers` convolutions of 3 x 3 with as many `filters`, the first of them two places apart; with three stages a cell of the
    grid is 8 x 8 pixels. Every place is read by the same weights, so any height and width will do. Raises InputError for inputs that are
    no pictures.
    """
    channels, *_ = check_picture("detector", inputs)
    if not filters or min(*filters, layers) < 1:
        raise InputError(f"detector expects filters and layers of at least 1; got filters={'x'.join(map(str, filters)) or 'none'}, "
                         f"layers={layers}. Write e.g. detector:filters=16x32x64.")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for number, maps in enumerate(filters, 1):
        for layer in range(1, layers + 1):
            stages[f"conv{number}_{layer}"] = block("detector", channels, maps, 3, stride=2 if layer == 1 else 1, norm=norm,
                                                    norm_groups=groups, nonlinearity=activation)
            channels = maps
    stages["output"] = nn.Conv2d(channels, outputs, 1)
    return nn.Sequential(stages)
