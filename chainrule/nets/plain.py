"""Plain nets, residual ones without their shortcuts: He, Zhang, Ren & Sun (2016), https://doi.org/10.1109/CVPR.2016.90, section 4.2"""

from __future__ import annotations

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.pooling import GlobalAverage
from chainrule.nets.layers.residual import residual_stage
from chainrule.nets.layers.stem import Stem, is_large, make_stem


@nets(source="He, Zhang, Ren & Sun (2016), https://doi.org/10.1109/CVPR.2016.90", init="he")
def plain(inputs: tuple[int, ...], outputs: int, *, depth: int = 20, width: float = 1.0, stem: Stem = "auto") -> nn.Module:
    """The layers of a residual net of the same depth and width, each reading only the one below: (n, c, h, w) -> (n, outputs)."""
    picture = check_picture("plain", inputs)
    if depth < 8 or depth % 6 != 2 or round(16 * width) < 1:
        below = max(8, (depth - 2) // 6 * 6 + 2)
        raise InputError(f"plain depth must be 6n+2, of at least one map; got depth={depth}, width={width}. The nearest depths are {below} "
                         f"and {below + 6}.")
    layers: list[nn.Module] = [make_stem(picture[0], round(16 * width), is_large(picture, stem))]
    channels, blocks = round(16 * width), (depth - 2) // 6
    for i in range(3):
        stage, channels = residual_stage(channels, round(16 * width * 2**i), blocks, stride=1 if i == 0 else 2, bottleneck=False, form="v1",
                                         shortcut="none", drops=[0.0] * blocks)
        layers.append(stage)
    return nn.Sequential(*layers, GlobalAverage(), nn.Linear(channels, outputs))
