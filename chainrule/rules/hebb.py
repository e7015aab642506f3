"""Storing patterns in one pass: by the sum of their outer products, or by the projection onto what they span.

Hebb (1949), The Organization of Behavior; Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554; Personnaz, Guyon & Dreyfus (1985),
https://doi.org/10.1051/jphyslet:01985004608035900
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from chainrule.core.abilities.nets import Remembers
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen

CLASSIC, MODERN = {"weight", "levels"}, {"patterns"}


@rule("hebb", source="Hebb (1949), The Organization of Behavior; Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554; Personnaz, Guyon "
      "& Dreyfus (1985), https://doi.org/10.1051/jphyslet:01985004608035900", reads="everything", loss="squared", nets=("hopfield",),
      epochs=1, best="last")
class Hebb:
    """As many rows as the net has patterns, evenly over the training part, are stored at once.

    Signs are taken about the median of each input. `form=outer`: w = sum of p p^T / d without the diagonal, for patterns that have little
    to do with one another, a tenth as many as units; `form=pseudo-inverse`: the projection onto the patterns, which recalls as many as are
    linearly independent. A net of continuous states stores rows as they are. The loss is half the squared distance of rows to what
    they settle in.
    """

    def __init__(self, *, form: Literal["outer", "pseudo-inverse"] = "outer"):
        self.form = form

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError for a net that stores no patterns."""
        refuse_frozen(net, "hebb")
        if not isinstance(net.module, Remembers) or set(net.params) not in (CLASSIC, MODERN):
            raise InputError(f"hebb stores patterns in a Hopfield net; got {type(net.module).__name__}. Use --net hopfield, or another "
                             "--rule.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x = batch.x.flatten(1)                                                     # (n, d)
        assert isinstance(net.module, Remembers)
        rows = evenly(x, net.module.count)                                         # (patterns, d)
        if "patterns" in net.params:
            net.params["patterns"].copy_(rows)
        else:
            thresholds = middles(x)
            above = (x > thresholds).to(x.dtype)
            net.buffers["thresholds"].copy_(thresholds)
            net.params["levels"].copy_(torch.stack([_mean(x, 1 - above), _mean(x, above)]))
            patterns = torch.where(rows > thresholds, 1.0, -1.0).to(x.dtype)
            net.params["weight"].copy_(outer(patterns) if self.form == "outer" else projection(patterns))
        return net, state, {"loss": 0.5 * batch.mean((net(batch.x) - x).square().sum(1))}


def evenly(x: Tensor, count: int) -> Tensor:
    """So many of the rows (n, d), evenly over all. Raises InputError where there are fewer."""
    if len(x) < count:
        raise InputError(f"The net is to store {count} patterns, each a training row; there are {len(x)}. Write "
                         f"hopfield:patterns={len(x)} or fewer.")
    return x[(torch.arange(count, device=x.device) * len(x)) // count]


def outer(patterns: Tensor) -> Tensor:
    """The weights (d, d) of Hebb's rule for patterns (m, d) of signs."""
    d = patterns.shape[1]
    return (patterns.T @ patterns / d) * (1 - torch.eye(d, dtype=patterns.dtype, device=patterns.device))


def projection(patterns: Tensor) -> Tensor:
    """The weights (d, d) that leave patterns (m, d) and their sums as they are, and take everything at right angles to them to zero."""
    weight: Tensor = torch.linalg.pinv(patterns.double()) @ patterns.double()
    return weight.to(patterns.dtype)


def middles(x: Tensor) -> Tensor:
    """A threshold (d,) for each column of rows (n, d): its median, or, where nothing is above that, midway to the value below it."""
    ordered = x.sort(0).values
    median, most = ordered[(len(x) - 1) // 2], ordered[-1]
    below = torch.where(x < most, x, float("-inf")).amax(0)
    constant = torch.where(most > 0, most - 1, most)                               # whose sign is that of its value
    return torch.where(median < most, median, torch.where(below.isinf(), constant, (below + most) / 2))


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    """The mean (d,) of those numbers of each column (n, d) that are chosen, of all where none is."""
    count = chosen.sum(0)
    return torch.where(count > 0, (x * chosen).sum(0) / count.clamp(min=1), x.mean(0))
