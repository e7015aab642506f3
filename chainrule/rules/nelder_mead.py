"""The downhill simplex: Nelder & Mead (1965), https://doi.org/10.1093/comjnl/7.4.308, by the rules of Lagarias et al. (1998),
https://doi.org/10.1137/S1052623496303470
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, mean_costs
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.exhaustive import shaped
from chainrule.rules.one_layer import refuse_frozen

MOST = 20     # weights, beyond which a simplex creeps


@rule("nelder-mead", source="Nelder & Mead (1965), https://doi.org/10.1093/comjnl/7.4.308", reads="everything", target="real",
      nets=("exponential", "holt", "holt-winters"), loss="squared", epochs=80)
class NelderMead:
    """One move of a simplex: its worst corner is reflected, or the simplex grows, shrinks toward it or away from it. No gradients.

    It begins around the weights: a corner `size` further along each, and one half as far back along all. The net holds the best corner.
    Raises InputError for a net of more than twenty weights.
    """

    def __init__(self, criterion: Criterion, *, size: float = 0.5):
        if not 0 < size < float("inf"):
            raise InputError(f"nelder-mead expects a size above 0; got {size}. Write nelder-mead:size=0.5.")
        self.criterion, self.size = criterion, size

    def init(self, net: Net) -> Tree:
        """The corners (n + 1, n). Raises InputError where they are too many."""
        refuse_frozen(net, "nelder-mead")
        if not 1 <= net.count() <= MOST:
            raise InputError(f"nelder-mead moves a simplex over 1 to {MOST} weights; {type(net.module).__name__} has {net.count():,}. Use "
                             "--rule backprop.")
        here = torch.cat([p.detach().flatten() for p in net.params.values()])
        steps = self.size * torch.cat([torch.full_like(here, -0.5)[None], torch.eye(len(here), dtype=here.dtype, device=here.device)])
        return {"corners": here + steps}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        params = net.params
        corners: Tensor = state["corners"]
        n = corners.shape[1]

        def height(place: Tensor) -> Tensor:
            return mean_costs(self.criterion(net.at(shaped(place, params)), batch), batch)[0]

        def heights(places: Tensor) -> Tensor:
            reached = torch.stack([height(place) for place in places.unbind()])
            return torch.where(reached.isfinite(), reached, float("inf"))

        f, order = heights(corners).sort(stable=True)                                       # (n + 1,)
        corners = corners.index_select(0, order)
        centre, worst = corners[:n].mean(0), corners[n]
        tried = centre + torch.tensor([1.0, 2.0, 0.5, -0.5], dtype=corners.dtype, device=corners.device)[:, None] * (centre - worst)
        reflected, expanded, outside, inside = heights(tried).unbind()
        best, second, last = f[0], f[n - 1], f[n]
        choice = torch.where(reflected < best, torch.where(expanded < reflected, 1, 0), torch.where(reflected < second, 0, torch.where(
            reflected < last, torch.where(outside <= reflected, 2, 4), torch.where(inside < last, 3, 4))))
        moved = torch.cat([corners[:n], tried.index_select(0, choice.clamp(max=3)[None])])
        shrunk = corners[0] + 0.5 * (corners - corners[0])
        corners = torch.where(choice == 4, shrunk, moved)
        state["corners"].copy_(corners)
        reached = torch.stack([reflected, expanded, outside, inside, best]).index_select(0, choice[None])[0]
        top = torch.where((choice < 4) & (reached < best), corners[n], corners[0])
        for name, value in shaped(top, params).items():
            params[name].copy_(value)
        return net, state, {"loss": torch.minimum(best, reached)}
