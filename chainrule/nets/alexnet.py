"""AlexNet: Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386

Krizhevsky (2014), https://arxiv.org/abs/1404.5997 (the form with one tower)
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture, side_after
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import LocalResponse
from chainrule.nets.layers.pooling import Pool, pooled
from chainrule.nets.layers.stem import is_large

Form = Literal["2012", "2014"]
MAPS: dict[Form, tuple[int, ...]] = {"2012": (96, 256, 384, 384, 256), "2014": (64, 192, 384, 256, 256)}
GROUPS: dict[Form, int] = {"2012": 2, "2014": 1}


@nets("alexnet", source="Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386", init="he")
class AlexNet(nn.Module):
    """Five convolutions, the 2nd, 4th and 5th in two groups, and three dense layers: (n, c, h, w) -> (n, outputs).

    Local response normalisation after the first two, pooling over 3 x 3 windows two apart, dropout in the dense layers. `form=2014` is
    the one tower of the later paper: no groups unless they are asked for, fewer maps, no normalisation. `width` scales every layer's
    units. Pictures below the size of large ones (`layers/stem.py`) get first kernels of 5 x 5, one pixel apart.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, form: Form = "2012", groups: int | None = None, dropout: float = 0.5,
                 width: float = 1.0):
        super().__init__()
        picture = check_picture("alexnet", inputs)
        channels, *sides = picture
        check_dropout("alexnet", dropout)
        groups = GROUPS[form] if groups is None else groups
        maps = [round(width * count / groups) * groups for count in MAPS[form]]
        units = round(width * 4096)
        if min(*maps, units) < 1:
            raise InputError(f"alexnet expects a width that leaves every layer a unit in each of {groups} groups; got {width}. "
                             "Write e.g. alexnet:width=0.25.")
        kernel, stride, pad = (11, 4, 2) if is_large(picture, "auto") else (5, 1, 2)
        a, b, c, d, e = maps
        norms = [LocalResponse() if form == "2012" else nn.Identity() for _ in range(2)]
        self.features = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(channels, a, kernel, stride, pad), relu1=nn.ReLU(), norm1=norms[0], pool1=Pool("max", 3, 2),
            conv2=nn.Conv2d(a, b, 5, padding=2, groups=groups), relu2=nn.ReLU(), norm2=norms[1], pool2=Pool("max", 3, 2),
            conv3=nn.Conv2d(b, c, 3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(c, d, 3, padding=1, groups=groups), relu4=nn.ReLU(),
            conv5=nn.Conv2d(d, e, 3, padding=1, groups=groups), relu5=nn.ReLU(), pool5=Pool("max", 3, 2),
        ))
        sides = [side_after(side, kernel, stride=stride, padding=pad) for side in sides]
        for _ in range(3):
            sides = [pooled(side, 3, 2) for side in sides]
        self.dense = nn.Sequential(OrderedDict(
            dropout6=nn.Dropout(dropout), dense6=Dense((e, *sides), units), relu6=nn.ReLU(),
            dropout7=nn.Dropout(dropout), dense7=Dense((units,), units), relu7=nn.ReLU(),
            output=nn.Linear(units, outputs),
        ))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.dense(self.features(x))
        return scores
