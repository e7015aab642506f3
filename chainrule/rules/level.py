"""The least squares of a constant: its mean. Gauss (1809), Theoria motus"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen


@rule("level", source="Gauss (1809), Theoria motus; Stigler (1981), https://doi.org/10.1214/aos/1176345451", reads="everything",
      target="real", nets=("mean", "naive", "moving-average"), loss="squared", epochs=1)
class Level:
    """The level (k,) of a net is the mean of its targets (n, steps * k); a net with nothing to learn stays as it is, and is measured."""

    def __init__(self, *, loss: Loss):
        self.loss = loss

    def init(self, net: Net) -> Tree:
        """Nothing to remember. Raises InputError for a net with anything else to learn."""
        refuse_frozen(net, "level")
        if set(net.params) - {"level"}:
            raise InputError(f"level fits a net that is one constant, or none; {type(net.module).__name__} has {', '.join(net.params)} to "
                             "learn. Use --rule backprop.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        level: Tensor | None = net.params.get("level")
        if level is not None:
            share = batch.weighted(torch.ones_like(batch.y[:, 0])).double()                 # (n,)
            steps = batch.y.double().unflatten(1, (-1, len(level))).mean(1)                 # (n, k)
            level.copy_((share[:, None] * steps).sum(0) / share.sum())
        return net, state, {"loss": batch.mean(self.loss.each(net(batch.x), batch.y))}
