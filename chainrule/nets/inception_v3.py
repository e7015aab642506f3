"""Inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens & Wojna (2016), https://arxiv.org/abs/1512.00567"""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.core.abilities.nets import Head
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.inception import Branches, chain, unit
from chainrule.nets.layers.pooling import GlobalAverage, Pool, pooled
from chainrule.nets.layers.stem import Stem, is_large

LEAST = 75                         # the smallest side that the large stem reads
WEIGHT = 0.4                       # of the auxiliary head's loss


@nets("inception-v3", source="Szegedy et al. (2016), https://arxiv.org/abs/1512.00567", init="he")
class InceptionV3(nn.Module):
    """Factorised convolutions, 1 x 7 and 7 x 1 among them, in eleven modules, and one auxiliary head: (n, c, h, w) -> (n, outputs).

    `width` scales every layer's maps. Small pictures keep their places in the stem.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, auxiliary: bool = True, width: float = 1.0, dropout: float = 0.5,
                 stem: Stem = "auto"):
        super().__init__()
        picture = check_picture("inception-v3", inputs)
        check_dropout("inception-v3", dropout)
        large = is_large(picture, stem)
        if round(width * 32) < 1:
            raise InputError(f"inception-v3 expects a width that leaves every layer a map; got {width}. "
                             "Write e.g. inception-v3:width=0.25.")
        if large:
            check_picture("inception-v3:stem=large", inputs, LEAST)
        self.width = width
        w32, w64, w80, w192 = (self._count(n) for n in (32, 64, 80, 192))
        self.stem = nn.Sequential(
            unit(picture[0], w32, 3, stride=2 if large else 1, padded=not large), unit(w32, w32, 3, padded=not large), unit(w32, w64, 3),
            nn.MaxPool2d(3, 2) if large else nn.Identity(), unit(w64, w80), unit(w80, w192, 3, padded=not large),
            nn.MaxPool2d(3, 2) if large else nn.Identity())
        sides = [_after_stem(side) if large else side for side in picture[1:]]
        self.low, channels = self._fine(w192)
        self.middle, channels = self._factorised(channels)
        sides = [(side - 1) // 2 if side > 2 else side for side in sides]
        self.head = AuxiliaryClassifier(channels, sides, outputs, self._count(128), self._count(768)) if auxiliary else None
        self.high, channels = self._coarse(channels)
        self.average, self.dropout, self.output = GlobalAverage(), nn.Dropout(dropout), nn.Linear(channels, outputs)

    def _count(self, maps: int) -> int:
        return round(self.width * maps)

    def _widths(self, *maps: int) -> tuple[int, ...]:
        return tuple(map(self._count, maps))

    def _fine(self, channels: int) -> tuple[nn.Sequential, int]:
        """Three modules with kernels up to 5 x 5, and the reduction after them (figures 5 and 10)."""
        modules, w = [], self._widths
        for projection in (32, 64, 64):
            modules.append(Branches(
                one=unit(channels, *w(64)), five=chain(channels, w(48, 64), (1, 5)), three=chain(channels, w(64, 96, 96), (1, 3, 3)),
                pool=nn.Sequential(nn.AvgPool2d(3, 1, 1), unit(channels, *w(projection)))))
            channels = sum(w(64, 64, 96, projection))
        modules.append(Branches(three=chain(channels, w(384), (3,), stride=2, padded=False),
                                deep=chain(channels, w(64, 96, 96), (1, 3, 3), stride=2, padded=False), pool=nn.MaxPool2d(3, 2)))
        return nn.Sequential(*modules), channels + sum(w(384, 96))

    def _factorised(self, channels: int) -> tuple[nn.Sequential, int]:
        """Four modules with 7 x 7 kernels as 1 x 7 and 7 x 1 (figure 6)."""
        modules, w = [], self._widths
        for inner in (128, 160, 160, 192):
            modules.append(Branches(
                one=unit(channels, *w(192)), seven=chain(channels, w(inner, inner, 192), (1, (1, 7), (7, 1))),
                deep=chain(channels, w(inner, inner, inner, inner, 192), (1, (7, 1), (1, 7), (7, 1), (1, 7))),
                pool=nn.Sequential(nn.AvgPool2d(3, 1, 1), unit(channels, *w(192)))))
            channels = sum(w(192, 192, 192, 192))
        return nn.Sequential(*modules), channels

    def _coarse(self, channels: int) -> tuple[nn.Sequential, int]:
        """A reduction, and two modules whose 3 x 3 kernels stand side by side as 1 x 3 and 3 x 1 (figure 7)."""
        w = self._widths
        modules: list[nn.Module] = [Branches(
            three=chain(channels, w(192, 320), (1, 3), stride=2, padded=False),
            seven=chain(channels, w(192, 192, 192, 192), (1, (1, 7), (7, 1), 3), stride=2, padded=False), pool=nn.MaxPool2d(3, 2))]
        channels += sum(w(320, 192))
        (split,) = w(384)
        for _ in range(2):
            sides = [Branches(wide=unit(split, split, (1, 3)), high=unit(split, split, (3, 1))) for _ in range(2)]
            modules.append(Branches(
                one=unit(channels, *w(320)), three=nn.Sequential(unit(channels, split), sides[0]),
                deep=nn.Sequential(chain(channels, w(448, 384), (1, 3)), sides[1]),
                pool=nn.Sequential(nn.AvgPool2d(3, 1, 1), unit(channels, *w(192)))))
            channels = sum(w(320, 192)) + 4 * split
        return nn.Sequential(*modules), channels

    def forward(self, x: Tensor) -> Tensor:
        return self._scores(self.middle(self.low(self.stem(x))))

    def _scores(self, maps: Tensor) -> Tensor:
        scores: Tensor = self.output(self.dropout(self.average(self.high(maps))))
        return scores

    def with_heads(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Head]]:
        """The outputs, and those of the auxiliary head."""
        maps = self.middle(self.low(self.stem(x)))
        return self._scores(maps), {} if self.head is None else {"auxiliary": Head(WEIGHT, self.head(maps))}


class AuxiliaryClassifier(nn.Module):
    """The auxiliary classifier: pooling, 1 x 1 kernels, one kernel over all places left, a dense layer: (n, c, h, w) -> (n, outputs)."""

    def __init__(self, inputs: int, sides: list[int], outputs: int, maps: int, hidden: int):
        super().__init__()
        left = [min(pooled(side, 5, 3), 5) for side in sides]
        self.pool, self.mix = Pool("average", 5, 3), unit(inputs, maps)
        self.whole, self.average = unit(maps, hidden, (left[0], left[1]), padded=False), GlobalAverage()
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.average(self.whole(self.mix(self.pool(x)))))
        return scores


def _after_stem(side: int) -> int:
    """What the large stem leaves of a side."""
    side = (side - 3) // 2 + 1 - 2
    side = (side - 3) // 2 + 1 - 2
    return (side - 3) // 2 + 1
