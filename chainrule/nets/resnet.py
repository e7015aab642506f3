"""Residual nets: He, Zhang, Ren & Sun (2016), https://doi.org/10.1109/CVPR.2016.90

He et al. (2016), https://arxiv.org/abs/1603.05027 (pre-activation); Zagoruyko & Komodakis (2016), https://arxiv.org/abs/1605.07146 (wide);
Huang et al. (2016), https://arxiv.org/abs/1603.09382 (stochastic depth)
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.normalisation import BatchNorm
from chainrule.nets.layers.pooling import GlobalAverage
from chainrule.nets.layers.residual import Form, Shortcut, residual_stage
from chainrule.nets.layers.stem import Stem, is_large, make_stem

FOUR_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
BOTTLENECKS_FROM = {"four": 50, "v2": 164}         # layers from which the papers' nets have bottlenecks


@nets("resnet", source="He, Zhang, Ren & Sun (2016), https://doi.org/10.1109/CVPR.2016.90", init="he")
class ResNet(nn.Module):
    """Stages of blocks that add what they compute to what they read: (n, c, h, w) -> (n, outputs).

    Depth 18, 34, 50, 101, 152 and 200 are the four-stage nets for large pictures; 6 n + 2 (two 3 x 3 convolutions a block) and 9 n + 2
    (bottlenecks) the three-stage ones for small, 6 n + 4 as wide nets are counted. `form=v2` normalises and rectifies before each
    convolution; `width` multiplies the maps; `shortcut=pad` is option A, `projection` option B; `drop` the last block's rate of stochastic
    depth, growing linearly from the first; `dropout` stands between the convolutions of a block. The stem fits the pictures' size.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, depth: int = 20, width: float = 1.0, form: Form = "v1", drop: float = 0.0,
                 block: Literal["auto", "basic", "bottleneck"] = "auto", shortcut: Literal["auto", "pad", "projection"] = "auto",
                 stem: Stem = "auto", dropout: float = 0.0):
        super().__init__()
        picture = check_picture("resnet", inputs)
        check_dropout("resnet", drop)
        check_dropout("resnet", dropout)
        counts, bottleneck = layout("resnet", depth, form, block)
        four, large = len(counts) == 4, is_large(picture, stem)
        first = 64 if four else 16
        start = round(first * width) if four else first            # wide nets keep the first layer
        if min(start, round(first * width)) < 1:
            raise InputError(f"resnet expects a width that leaves every layer a unit; got {width}. Write e.g. resnet:width=2.")
        around: Shortcut = shortcut if shortcut != "auto" else "projection" if four or form == "v2" or bottleneck else "pad"
        self.stem = make_stem(picture[0], start, large, normalised=form == "v1")
        self.stages = nn.ModuleList()
        channels, total, seen = start, sum(counts), 0
        for i, blocks in enumerate(counts):
            drops = [drop * (seen + k) / total for k in range(1, blocks + 1)]
            stage, channels = residual_stage(channels, round(first * width * 2**i), blocks, stride=1 if i == 0 else 2, form=form,
                                             bottleneck=bottleneck, shortcut=around, drops=drops, dropout=dropout)
            self.stages.append(stage)
            seen += blocks
        self.norm = nn.Sequential(BatchNorm(channels), nn.ReLU()) if form == "v2" else nn.Identity()
        self.average, self.output = GlobalAverage(), nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        for stage in self.stages:
            maps = stage(maps)
        scores: Tensor = self.output(self.average(self.norm(maps)))
        return scores


def layout(family: str, depth: int, form: Form = "v1", block: str = "auto") -> tuple[tuple[int, ...], bool]:
    """How many blocks each stage has, and whether they are bottlenecks. Raises InputError naming the two nearest depths."""
    if depth in FOUR_STAGES:
        usual = depth >= BOTTLENECKS_FROM["four"]
        return FOUR_STAGES[depth], usual if block == "auto" else block == "bottleneck"
    wide = depth % 6 == 4
    basic = depth % 6 == 2 or wide
    usual = not basic or (form == "v2" and depth >= BOTTLENECKS_FROM["v2"] and not wide)
    bottleneck = usual if block == "auto" else block == "bottleneck"
    per_stage, counted = (9, 2) if bottleneck else (6, 4 if wide else 2)
    if depth < per_stage + 2 or depth % per_stage != counted:
        form_name = "9n+2" if block == "bottleneck" else "6n+2"
        step = 9 if block == "bottleneck" else 6
        below = max(step + 2, (depth - 2) // step * step + 2)
        raise InputError(f"{family} depth must be {form_name}, or one of {', '.join(map(str, FOUR_STAGES))}; got {depth}. The nearest are "
                         f"{below} and {below + step}.")
    return ((depth - counted) // per_stage,) * 3, bottleneck
