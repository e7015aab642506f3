"""Learning by trying: every point of a grid over the weights, or random ones, the best of which is kept.

Anderson (1953), https://doi.org/10.1137/0101001 (grid); Brooks (1958), https://doi.org/10.1287/opre.6.2.244 (random)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree

MOST = 10**7  # points of a grid


@rule("search", source="Brooks (1958), https://doi.org/10.1287/opre.6.2.244", reads="everything", epochs=40)
class Search:
    """Try `tries` weights at a time from a box, -box to box on every axis; the net keeps the best of all so far. No gradients.

    way=random draws them evenly. way=grid goes through `points` equally spaced values on each axis, the ends included, and once through,
    tries its last point again. Raises InputError where that would be more than ten million points. The loss is of the weights kept.
    """

    def __init__(self, *, loss: Loss, way: Literal["random", "grid"] = "random", box: float = 3.0, points: int = 11, tries: int = 512):
        if not 0 < box < float("inf") or points < 2 or tries < 1:
            raise InputError(f"search expects box above 0, at least 2 points and at least one try; got box={box}, points={points}, "
                             f"tries={tries}. Write e.g. search:grid,box=3,points=11.")
        self.loss, self.way, self.box, self.points, self.tries = loss, way, box, points, tries

    def init(self, net: Net) -> Tree:
        """How many weights have been tried. Raises InputError for a grid with too many points."""
        count = self.points ** net.count()
        if self.way == "grid" and count > MOST:
            raise InputError(f"A grid of {self.points} values for each of {net.count()} weights has {_shown(count)} points; search takes "
                             f"at most {MOST:,}. Use a net of fewer weights, fewer points, or search:random.")
        return {"tried": torch.zeros((), dtype=torch.int64, device=net.device)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        params = net.params
        example = next(iter(params.values()))
        count = sum(p.numel() for p in params.values())
        if self.way == "grid":
            places = self._grid(state["tried"], count, example)                        # (tries, count)
        else:
            places = (2 * torch.rand(self.tries, count, dtype=example.dtype, device=example.device) - 1) * self.box
        here = torch.cat([p.flatten() for p in params.values()])                       # (count,)
        places = torch.cat([here[None], places])                                       # (1 + tries, count): what is kept comes first

        def height(place: Tensor) -> Tensor:
            return batch.mean(self.loss.each(net.at(shaped(place, params))(batch.x), batch.y))

        heights = torch.vmap(height, randomness="same")(places)                        # (1 + tries,)
        heights = torch.where(heights.isfinite(), heights, float("inf"))
        best = heights.argmin()
        for name, value in shaped(places.index_select(0, best[None]).squeeze(0), params).items():
            params[name].copy_(value)
        state["tried"].add_(self.tries)
        return net, state, {"loss": heights.amin()}

    def _grid(self, tried: Tensor, count: int, example: Tensor) -> Tensor:
        """The next points of the grid, (tries, count): their numbers in base `points`, a digit for each axis."""
        number = tried + torch.arange(self.tries, device=example.device)
        number = number.clamp(max=self.points**count - 1)                              # (tries,)
        place = self.points ** torch.arange(count, device=example.device)
        digits = (number[:, None] // place) % self.points                              # (tries, count)
        return (2 * digits.to(example.dtype) / (self.points - 1) - 1) * self.box


def shaped(flat: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Numbers in a row (count,) as tensors shaped like the parameters."""
    parts = flat.split([p.numel() for p in like.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(like.items(), parts, strict=True)}


def _shown(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"
