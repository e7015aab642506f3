"""Lloyd's iteration: give every row to the nearest centre, then move every centre to the mean of its rows.

Lloyd (1982), https://doi.org/10.1109/TIT.1982.1056489
"""

from __future__ import annotations

import torch

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.prototypes import WEIGHT, check_prototypes, farthest_rows, shared_out


@rule("lloyd", source="Lloyd (1982), https://doi.org/10.1109/TIT.1982.1056489", reads="everything", loss="squared", nets=("kmeans",),
      epochs=50, best="last")
class Lloyd:
    """One iteration over all rows. The loss, half the mean squared distance to the nearest centre before the iteration, never rises.

    A centre that is nearest to no row goes to the row that is farthest from its own; `revived` counts these.
    """

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError for a net that is not one layer of prototypes."""
        check_prototypes(net, "lloyd", "kmeans")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x, centres = batch.x.flatten(1), net.params[WEIGHT]                          # (n, d), (k, d)
        winner = net.call("nearest", batch.x)[0][:, 0]                               # (n,)
        distance = (x - centres[winner]).square().sum(1)                             # (n,)
        mass, total = shared_out(x, winner, batch.shares(), len(centres))
        vacant = mass == 0
        means = total / torch.where(vacant, 1.0, mass)[:, None]
        centres.copy_(torch.where(vacant[:, None], farthest_rows(x, distance, vacant), means))
        return net, state, {"loss": 0.5 * batch.mean(distance), "revived": vacant.sum()}
