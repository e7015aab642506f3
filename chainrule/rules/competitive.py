"""Competitive learning: of the units the one nearest to a row goes toward it, and the others stay.

MacQueen (1967), Proc. 5th Berkeley Symposium 1:281; Rumelhart & Zipser (1985), https://doi.org/10.1207/s15516709cog0901_5; in batches
Sculley (2010), https://doi.org/10.1145/1772690.1772862
"""

from __future__ import annotations

import torch

from chainrule.core.batch import Batch
from chainrule.core.descend import PACE, unpaced
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.prototypes import WEIGHT, check_prototypes, farthest_rows, shared_out

MEMORY = 20.0    # rows a unit, over which it is remembered how often each has won


@rule("competitive", source="MacQueen (1967), Proc. 5th Berkeley Symposium 1:281; Rumelhart & Zipser (1985), "
      "https://doi.org/10.1207/s15516709cog0901_5", loss="squared", nets=("kmeans", "som"), epochs=20, batch=64, best="last")
class Competitive:
    """The winner goes toward the rows that it wins; within a batch rows are judged by the units before it.

    Without a `rate` every unit is the mean of all rows that it has ever won, as MacQueen's are; with one it goes that share of the way to
    the mean of its rows, and the rate falls to 0 with the run. A unit that of late wins less than `revive` of its fair share of the rows
    goes to the row that is farthest from its own unit (0: never); `revived` counts these.
    """

    def __init__(self, *, rate: float | None = None, revive: float = 0.05):
        if (rate is not None and not 0 < rate <= 1) or not 0 <= revive < 1:
            raise InputError(f"competitive expects a rate above 0 and at most 1, or none, and revive from 0 to below 1; got rate={rate}, "
                             f"revive={revive}. Write e.g. competitive:rate=0.1,revive=0.05.")
        self.rate, self.revive = rate, revive

    def init(self, net: Net) -> Tree:
        """Rows won by each unit, its share of late, and where the stage stands."""
        check_prototypes(net, "competitive", "kmeans")
        units = net.params[WEIGHT].detach()
        return {"won": torch.zeros_like(units[:, 0]), "lately": torch.full_like(units[:, 0], 1 / len(units)), PACE: unpaced(net)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x, units = batch.x.flatten(1), net.params[WEIGHT]                            # (n, d), (k, d)
        pace, count, least = state[PACE], len(units), torch.finfo(x.dtype).tiny
        winner = net.call("nearest", batch.x)[0][:, 0]                               # (n,)
        distance = (x - units[winner]).square().sum(1)                               # (n,)
        mass, total = shared_out(x, winner, batch.shares() * len(x), count)          # (k,), (k, d)
        state["won"].add_(mass)
        if self.rate is None:
            part = 1 / state["won"].clamp(min=least)
        else:
            left = (1 - pace["done"] / pace["whole"]).clamp(min=0, max=1).to(x.dtype)
            part = self.rate * left / mass.clamp(min=least)
        pace["done"].add_(pace["each"])
        moved = units + torch.where(mass > 0, part, 0.0)[:, None] * (total - mass[:, None] * units)

        state["lately"].lerp_(mass / len(x), min(1.0, len(x) / (MEMORY * count)))
        vacant = state["lately"] < self.revive / count
        units.copy_(torch.where(vacant[:, None], farthest_rows(x, distance, vacant), moved))
        state["lately"].copy_(torch.where(vacant, 1 / count, state["lately"]))
        state["won"].copy_(torch.where(vacant, 1.0, state["won"]))
        return net, state, {"loss": 0.5 * batch.mean(distance), "revived": vacant.sum()}
