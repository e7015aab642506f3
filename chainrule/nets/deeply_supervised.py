"""Deeply supervised nets: Lee, Xie, Gallagher, Zhang & Tu (2015), https://arxiv.org/abs/1409.5185"""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.core.abilities.nets import Head
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.mlp_convolution import STAGES, mlp_convolution
from chainrule.nets.layers.pooling import GlobalAverage, Pool, pooled


@nets("dsn", source="Lee et al. (2015), https://arxiv.org/abs/1409.5185", init="he")
class DeeplySupervisedNet(nn.Module):
    """A network in network whose lower stages classify as well, in training: (n, c, h, w) -> (n, outputs).

    Each lower stage's pooled maps have a linear classifier, whose loss counts `weight`. `width` scales every stage's maps.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, weight: float = 0.3, dropout: float = 0.5, width: float = 1.0):
        super().__init__()
        channels, *sides = check_picture("dsn", inputs)
        check_dropout("dsn", dropout)
        if not 0 <= weight < float("inf"):
            raise InputError(f"dsn expects a weight of at least 0 for the lower stages' losses; got {weight}. Write e.g. dsn:weight=0.3.")
        self.weight, self.stages, self.classifiers = weight, nn.ModuleList(), nn.ModuleList()
        for stage, (kernel, maps) in enumerate(STAGES, 1):
            layers, channels = mlp_convolution("dsn", channels, kernel, maps, width)
            if stage < len(STAGES):
                layers.extend([Pool("max" if stage == 1 else "average", 3, 2), nn.Dropout(dropout)])
                sides = [pooled(side, 3, 2) for side in sides]
                self.classifiers.append(Dense((channels, *sides), outputs))
            self.stages.append(layers)
        self.output, self.average = nn.Conv2d(channels, outputs, 1), GlobalAverage()

    def maps(self, x: Tensor) -> list[Tensor]:
        """What each stage gives."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.average(self.output(self.maps(x)[-1]))
        return scores

    def with_heads(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Head]]:
        """The outputs, and those of the lower stages' classifiers."""
        *lower, last = self.maps(x)
        return self.average(self.output(last)), {
            f"stage {i}": Head(self.weight, classifier(maps)) for i, (classifier, maps) in enumerate(zip(self.classifiers, lower), 1)}
