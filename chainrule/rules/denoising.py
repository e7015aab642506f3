"""Denoising: make of rows with some numbers erased the rows as they were, by one layer that goes there and back with the same weights.

Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), https://jmlr.org/papers/v11/vincent10a.html
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.abilities.densities import HasVisibleUnits
from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad
from chainrule.rules.one_layer import refuse_frozen


def denoising_cost(net: Net, batch: Batch, noisy: Tensor) -> tuple[Tensor, Report]:
    """What rows (n, visible) cost after erased ones `noisy` went up and came down: cross-entropy, of Gaussian units squared error."""
    means = net.call("visible", net.call("hidden", noisy))
    if isinstance(net.module, HasVisibleUnits) and net.module.unbounded:
        return batch.mean((means - batch.x).square().sum(1)), {}
    return batch.mean(F.binary_cross_entropy(means, batch.x, reduction="none").sum(1)), {}


@rule("denoising", source="Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), https://jmlr.org/papers/v11/vincent10a.html",
      reads="features", target="none", range="unit", nets=("rbm",), optimizer="sgd:rate=0.1")
class Denoising:
    """A denoising autoencoder of one layer: each number of a row is erased, set to 0, with probability `noise`.

    The loss is the cost of the whole row, in nats, the mean over the batch.
    """

    def __init__(self, descent: Descent, *, noise: float = 0.25):
        if not 0 <= noise < 1:
            raise InputError(f"denoising erases a share of the numbers, at least 0 and below 1; got noise={noise}. "
                             "Write denoising:noise=0.25.")
        self.descent, self.noise = descent, noise

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "denoising")
        if set(net.params) != {"weight", "visible_bias", "hidden_bias"}:
            raise InputError(f"denoising trains one layer that goes there and back; got {type(net.module).__name__}. Use --net rbm, or "
                             "--stages denoising for layers one after another.")
        return self.descent.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            noisy = torch.where(torch.rand_like(batch.x) < self.noise, 0.0, batch.x)
        loss, _, slope = value_and_grad(denoising_cost, net, batch, noisy)
        return net, self.descent.follow(net, state, slope), {"loss": loss}
