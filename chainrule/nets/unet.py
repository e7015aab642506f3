"""U-Net: down by pooling, up again, with what was there on the way down. Ronneberger, Fischer & Brox (2015),
https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.maps import central
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import Padding, block, check_picture
from chainrule.nets.layers.normalisation import MapNorm
from chainrule.nets.layers.pooling import Pool


@nets("unet", source="Ronneberger, Fischer & Brox (2015), https://arxiv.org/abs/1505.04597", init="he", tasks=("segmentation",))
class UNet(nn.Module):
    """Pairs of convolutions at `depth` + 1 scales, down and up, joined across: (n, c, h, w) -> (n, outputs, h, w), any height and width.

    The finest scale has `width` maps, each coarser one twice as many; without options it is the paper's, but that its convolutions pad.
    `padding=valid` is the paper's own form: it answers for the central pixels, as many as have all of what they are seen by. `dropout`
    is that of the two coarsest scales, as in the paper. Raises InputError for inputs that are no pictures or too small.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, width: int = 64, depth: int = 4, padding: Padding = "half",
                 norm: MapNorm = "none", groups: int = 2, dropout: float = 0.0):
        super().__init__()
        if min(width, depth) < 1:
            raise InputError(f"unet expects width and depth of at least 1; got width={width}, depth={depth}. Write e.g. "
                             "unet:width=16,depth=3.")
        check_dropout("unet", dropout)
        channels, height, width_of_picture = check_picture("unet", inputs)
        if padding == "valid":
            least = _least(depth)
            if min(height, width_of_picture) < least:
                raise InputError(f"unet with depth={depth} and padding=valid needs pictures of at least {least} x {least}; got {height} x "
                                 f"{width_of_picture}. Use padding=half, or a smaller depth.")

        def pair(below: int, maps: int) -> nn.Sequential:
            both = [block("unet", size, maps, 3, padding=padding, norm=norm, norm_groups=groups) for size in (below, maps)]
            return nn.Sequential(OrderedDict(first=both[0], second=both[1]))

        maps = [width * 2**scale for scale in range(depth + 1)]
        self.down = nn.ModuleList(pair(below, above) for below, above in zip([channels, *maps], maps, strict=False))
        self.pool = Pool("max", 2, 2)
        self.dropout = nn.Dropout(dropout)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * count, count, 2, 2) for count in maps[-2::-1])
        self.up = nn.ModuleList(pair(2 * count, count) for count in maps[-2::-1])
        self.output = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        across, scales = [], len(self.down)
        for scale, pair in enumerate(self.down):
            x = pair(self.pool(x) if scale else x)
            if scale >= scales - 2:
                x = self.dropout(x)
            across.append(x)
        for grow, pair, beside in zip(self.grow, self.up, across[-2::-1], strict=True):
            grown = grow(x)                                          # (n, maps, h, w), of an odd side a pixel more
            size = [min(a, b) for a, b in zip(grown.shape[2:], beside.shape[2:], strict=True)]
            x = pair(torch.cat([central(beside, size), grown[..., : size[0], : size[1]]], 1))
        scores: Tensor = self.output(x)
        return scores


def _least(depth: int) -> int:
    """The least side of pictures from which unpadded convolutions leave a pixel."""
    side = 1
    for _ in range(depth):
        side = -(-(side + 4) // 2)                                   # what the scale below must have, before it is grown
    side += 4
    for _ in range(depth):
        side = 2 * side - 1 + 4                                      # pooling rounds up
    return side
