"""Unsupervised learning by competition: the cells that answer most learn what they see, and with them their planes.

Fukushima (1980), https://doi.org/10.1007/BF00344251, section 3
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.abilities.nets import Competes, Competition
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, mean_costs
from chainrule.core.descend import PACE, Descent, unpaced
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad

OUTPUT = "output"


def representatives(answers: Tensor, column: int) -> tuple[Tensor, Tensor]:
    """The cell of each plane that is to learn, as its place, and whether there is one, both (n, planes), for answers (n, planes, h, w).

    A candidate is the greatest of all planes in some window of `column` places; of several candidates in a plane it is the greatest.
    """
    greatest = F.max_pool2d(answers.amax(1, keepdim=True), column, 1, column // 2)      # (n, 1, h, w), of the window around each place
    least = -F.max_pool2d(-greatest, column, 1, column // 2)                            # of the windows that a place is in
    candidates = torch.where((answers == least) & (answers > 0), answers, 0.0).flatten(2)
    value, place = candidates.max(2)
    return place, value > 0


def reinforced(one: Competition, place: Tensor, wins: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """What is added to the excitatory weights (planes, inputs * kernel^2) and to the inhibitory ones (planes,), equations (9) and (10).

    `wins` (n, planes) is how much each representative counts, 0 where there is none.
    """
    seen = one.patches.transpose(1, 2).gather(1, place[:, :, None].expand(-1, -1, one.patches.shape[1]))   # (n, planes, d)
    excitatory = rate * one.weighting * (wins[:, :, None] * seen).sum(0)
    inhibitory = rate / 2 * (wins * one.inhibition.gather(1, place)).sum(0)
    return excitatory, inhibitory


@rule("winner-take-all", source="Fukushima (1980), https://doi.org/10.1007/BF00344251", range="unit", nets=("neocognitron",),
      optimizer="adam:rate=0.05", epochs=12, batch=32)
class WinnerTakeAll:
    """Layers of cells learn by competition, from the lowest up, while the output layer follows the gradient of its loss.

    The first `share` of the run is divided evenly among the layers; after it the output layer alone goes on. In a batch every sample is
    judged by the weights before the step. `rate` is how strongly a representative is reinforced, `column` the side of the windows in which
    the cells of all planes compete.
    """

    def __init__(self, criterion: Criterion, *, output: Descent, rate: float = 10_000.0, column: int = 3, share: float = 0.25):
        if rate <= 0 or column < 1 or column % 2 == 0 or not 0 < share < 1:
            raise InputError(f"winner-take-all expects a rate above 0, an odd column, and a share between 0 and 1; got rate={rate}, "
                             f"column={column}, share={share}. Write e.g. winner-take-all:rate=10000,column=3,share=0.25.")
        self.criterion, self.output, self.rate, self.column, self.share = criterion, output, rate, column, share

    def init(self, net: Net) -> Tree:
        if not isinstance(net.module, Competes):
            raise InputError(f"winner-take-all trains nets whose cells compete; those of {type(net.module).__name__} do not. Use --net "
                             "neocognitron, or another --rule.")
        return {OUTPUT: self.output.init(net.only(OUTPUT)), PACE: unpaced(net)}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        value, report, slope = value_and_grad(lambda net, batch: mean_costs(self.criterion(net, batch), batch), net.only(OUTPUT), batch)
        with torch.no_grad():
            self._compete(net, state[PACE], batch)
        state[OUTPUT] = self.output.follow(net.only(OUTPUT), state[OUTPUT], slope, value)
        return net, state, {name: cost.detach() for name, cost in report.items()}

    def _compete(self, net: Net, pace: dict[str, Tensor], batch: Batch) -> None:
        """Let the representatives of the layer whose turn it is learn; a share of the run done decides, so that nothing is counted."""
        layers: list[Competition] = net.call("competitions", batch.x)
        turn = pace["done"] / pace["whole"] / self.share * len(layers)
        pace["done"].add_(pace["each"])
        counts = batch.weighted(batch.x.new_ones(len(batch)))                                              # (n,)
        for number, one in enumerate(layers):
            place, exists = representatives(one.answers, self.column)
            now = ((turn >= number) & (turn < number + 1)).to(counts.dtype)
            excitatory, inhibitory = reinforced(one, place, exists * counts[:, None] * now, self.rate)
            for name, change in ((one.excitatory, excitatory), (one.inhibitory, inhibitory)):
                if name in net.params:                                                                     # a frozen one stays
                    net.params[name].add_(change.view_as(net.params[name]))
