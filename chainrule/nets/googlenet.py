"""GoogLeNet: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich (2015), https://arxiv.org/abs/1409.4842, table 1"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from chainrule.core.abilities.nets import Head
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture, side_after
from chainrule.nets.layers.inception import AuxiliaryHead, Branches, chain, unit
from chainrule.nets.layers.normalisation import LocalResponse
from chainrule.nets.layers.pooling import GlobalAverage, Pool, pooled
from chainrule.nets.layers.stem import Stem, is_large

MODULES = {                        # maps: 1 x 1; 3 x 3 after its reduction; 5 x 5 after its reduction; 1 x 1 after pooling
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = ("3b", "4e")              # modules whose maps are pooled
HEADS = {"auxiliary 1": "4a", "auxiliary 2": "4d"}
WEIGHT = 0.3                       # of an auxiliary head's loss


@nets("googlenet", source="Szegedy et al. (2015), https://arxiv.org/abs/1409.4842", init="he")
class GoogLeNet(nn.Module):
    """Nine modules of four branches each, and two auxiliary heads in training: (n, c, h, w) -> (n, outputs).

    `norm=batch` normalises every convolution, as later implementations do, in place of the two local response normalisations; `kernel` is
    that of the widest branch, 5 in the paper, `last_pool` the window of the last pooling, 3 in the paper. `width` scales every layer's
    maps. Small pictures keep their places in the stem.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, auxiliary: bool = True, norm: Literal["local", "batch"] = "local",
                 kernel: int = 5, last_pool: int = 3, width: float = 1.0, dropout: float = 0.4, stem: Stem = "auto"):
        super().__init__()
        picture = check_picture("googlenet", inputs)
        check_dropout("googlenet", dropout)
        if width * 16 < 1 or kernel < 1 or kernel % 2 == 0 or last_pool not in (2, 3):
            raise InputError("googlenet expects an odd kernel, a last_pool of 2 or 3, and a width that leaves every layer a map; got "
                             f"kernel={kernel}, last_pool={last_pool}, width={width}. Write e.g. googlenet:kernel=5,width=0.25.")
        batch, large = norm == "batch", is_large(picture, stem)
        first, second = round(width * 64), round(width * 192)
        sides = [side_after(side, 7, stride=2) if large else side for side in picture[1:]]
        self.stem = nn.Sequential(
            unit(picture[0], first, 7 if large else 3, stride=2 if large else 1, norm=batch),
            Pool("max", 3, 2) if large else nn.Identity(), nn.Identity() if batch else LocalResponse(),
            unit(first, first, norm=batch), unit(first, second, 3, norm=batch),
            nn.Identity() if batch else LocalResponse(), Pool("max", 3, 2) if large else nn.Identity())
        if large:
            sides = [pooled(pooled(side, 3, 2), 3, 2) for side in sides]
        self.modules_by_name, self.auxiliary = nn.ModuleDict(), nn.ModuleDict()
        channels = second
        for name, counts in MODULES.items():
            a, b3, c, b5, d, e = (round(width * count) for count in counts)
            self.modules_by_name[name] = Branches(
                one=unit(channels, a, norm=batch), three=chain(channels, (b3, c), (1, 3), norm=batch),
                five=chain(channels, (b5, d), (1, kernel), norm=batch),
                pool=nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(channels, e, norm=batch)))
            channels = a + c + d + e
            if auxiliary and name in HEADS.values():
                self.auxiliary[name] = AuxiliaryHead(channels, sides, outputs, maps=round(width * 128), hidden=round(width * 1024),
                                                     dropout=0.7, norm=batch)
            if name in POOLED:
                sides = [pooled(side, 3, 2) for side in sides]
        self.pools = nn.ModuleDict({name: Pool("max", last_pool if name == POOLED[-1] else 3, 2) for name in POOLED})
        self.average = GlobalAverage()
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(channels, outputs)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """What each module gives for pictures (n, c, h, w)."""
        maps, x = {}, self.stem(x)
        for name, module in self.modules_by_name.items():
            maps[name] = module(x)
            x = self.pools[name](maps[name]) if name in POOLED else maps[name]
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self._scores(self.maps(x)["5b"])

    def _scores(self, maps: Tensor) -> Tensor:
        scores: Tensor = self.output(self.dropout(self.average(maps)))
        return scores

    def with_heads(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Head]]:
        """The outputs, and those of the auxiliary heads."""
        maps = self.maps(x)
        return self._scores(maps["5b"]), {
            name: Head(WEIGHT, self.auxiliary[at](maps[at])) for name, at in HEADS.items() if at in self.auxiliary}
