"""Kohonen's rules: the unit nearest to a row and its neighbours on the grid go toward that row, ever fewer and ever less.

Kohonen (1982), https://doi.org/10.1007/BF00337288; over all rows at once Kohonen (1990), https://doi.org/10.1109/5.58325
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasGrid
from chainrule.core.batch import Batch
from chainrule.core.descend import PACE, unpaced
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.prototypes import WEIGHT, check_prototypes, shared_out

Neighbourhood = Literal["gaussian", "bubble"]


def grid_distances(rows: int, columns: int, like: Tensor) -> Tensor:
    """The squared distances on the grid (k, k) between its units, which are numbered row by row."""
    at = torch.cartesian_prod(torch.arange(rows, device=like.device), torch.arange(columns, device=like.device)).to(like.dtype)
    return (at[:, None] - at).square().sum(2)


def influence(squared: Tensor, radius: Tensor, form: Neighbourhood) -> Tensor:
    """How much units so far (..., squared) from the one that answers learn with it: a bell of this radius, or all within it alike."""
    if form == "bubble":
        return (squared <= radius.square()).to(squared.dtype)
    return (-squared / (2 * radius.square())).exp()


def between(first: float, last: float, share: Tensor) -> Tensor:
    """The geometric way from `first` to `last` when this share of it is done."""
    return first * (last / first) ** share


def sides(net: Net, rule: str) -> tuple[int, int]:
    """Rows and columns of the net's grid. Raises InputError for a net that has none."""
    check_prototypes(net, rule, "som")
    if not isinstance(net.module, HasGrid):
        raise InputError(f"{rule} moves the neighbours of a unit on its grid; {type(net.module).__name__} has none. Use --net som, or "
                         "--rule competitive.")
    return net.module.grid


class Shrinking:
    """A neighbourhood whose radius goes over the run from `radius`, half the longer side of the grid where left out, to `last_radius`."""

    def __init__(self, rule: str, radius: float | None, last_radius: float, form: Neighbourhood):
        if last_radius <= 0 or (radius is not None and radius < last_radius):
            raise InputError(f"{rule} expects a radius that shrinks to a last one above 0; got radius={radius}, last_radius={last_radius}. "
                             f"Write e.g. {rule}:radius=5,last_radius=0.5.")
        self.radius, self.last_radius, self.form = radius, last_radius, form

    def __call__(self, squared: Tensor, longer: int, share: Tensor) -> Tensor:
        """The influence (...) at squared distances on a grid of this longer side when this share of the run is done."""
        first = max(longer / 2, self.last_radius) if self.radius is None else self.radius
        return influence(squared, between(first, self.last_radius, share), self.form)


@rule("kohonen", source="Kohonen (1982), https://doi.org/10.1007/BF00337288", loss="squared", nets=("som",), epochs=20, batch=32,
      best="last")
class Kohonen:
    """Row after row: each unit k goes by rate * h(k, winner) * (row - unit), and rate and radius shrink geometrically over the run.

    h is a bell on the grid, exp(-d^2 / (2 radius^2)), or 1 within the radius (`neighbourhood`). Batches change nothing but how many rows
    are handed over at once. `radius` is half the longer side of the grid where it is left out. The loss is half the squared distance of
    each row to its winner when its turn comes.
    """

    def __init__(self, *, rate: float = 0.5, last_rate: float = 0.01, radius: float | None = None, last_radius: float = 0.5,
                 neighbourhood: Neighbourhood = "gaussian"):
        if not 0 < last_rate <= rate <= 1:
            raise InputError(f"kohonen expects a rate from above 0 to 1 that shrinks to last_rate; got rate={rate}, last_rate={last_rate}. "
                             "Write e.g. kohonen:rate=0.5,last_rate=0.01.")
        self.rate, self.last_rate = rate, last_rate
        self.near = Shrinking("kohonen", radius, last_radius, neighbourhood)

    def init(self, net: Net) -> Tree:
        """Where the stage stands. Raises InputError for a net without a grid."""
        sides(net, "kohonen")
        return {PACE: unpaced(net)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x, units, pace = batch.x.flatten(1), net.params[WEIGHT], state[PACE]             # (n, d), (k, d)
        grid = sides(net, "kohonen")
        apart, weight = grid_distances(*grid, units), batch.weighted(torch.ones_like(x[:, 0]))  # (k, k), (n,)
        costs = []
        for i, row in enumerate(x.unbind()):
            share = ((pace["done"] + pace["each"] * (i / len(x))) / pace["whole"]).clamp(min=0, max=1).to(x.dtype)
            away = row - units                                                           # (k, d)
            distance = away.square().sum(1)
            near = self.near(apart.index_select(0, distance.argmin(0, keepdim=True))[0], max(grid), share)
            part = (between(self.rate, self.last_rate, share) * weight[i] * near).clamp(max=1)
            units.add_(part[:, None] * away)
            costs.append(0.5 * distance.amin())
        pace["done"].add_(pace["each"])
        return net, state, {"loss": batch.mean(torch.stack(costs))}


@rule("kohonen-batch", source="Kohonen (1990), https://doi.org/10.1109/5.58325", reads="everything", loss="squared", nets=("som",),
      epochs=50, best="last")
class KohonenBatch:
    """All rows at once: each unit becomes the mean of the rows, weighted by how near on the grid it is to the unit that each row chose.

    There is no rate; the radius shrinks geometrically over the run. `radius`, `last_radius` and `neighbourhood` are as kohonen has them.
    """

    def __init__(self, *, radius: float | None = None, last_radius: float = 0.5, neighbourhood: Neighbourhood = "gaussian"):
        self.near = Shrinking("kohonen-batch", radius, last_radius, neighbourhood)

    def init(self, net: Net) -> Tree:
        """Where the stage stands. Raises InputError for a net without a grid."""
        sides(net, "kohonen-batch")
        return {PACE: unpaced(net)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x, units, pace = batch.x.flatten(1), net.params[WEIGHT], state[PACE]             # (n, d), (k, d)
        grid = sides(net, "kohonen-batch")
        share = (pace["done"] / pace["whole"]).clamp(min=0, max=1).to(x.dtype)
        pace["done"].add_(pace["each"])
        winner = net.call("nearest", batch.x)[0][:, 0]                                   # (n,)
        loss = 0.5 * batch.mean((x - units[winner]).square().sum(1))
        mass, total = shared_out(x, winner, batch.shares(), len(units))                  # (k,), (k, d)
        near = self.near(grid_distances(*grid, units), max(grid), share)                 # (k, k)
        reach = near @ mass                                                              # (k,)
        reached = reach > torch.finfo(x.dtype).eps
        means = near @ total / torch.where(reached, reach, 1.0)[:, None]
        units.copy_(torch.where(reached[:, None], means, units))
        return net, state, {"loss": loss}
