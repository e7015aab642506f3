"""Contrastive divergence: lower the energy of the data, raise that of what the machine makes of it.

Hinton (2002), https://doi.org/10.1162/089976602760128018; persistent chains: Tieleman (2008), https://doi.org/10.1145/1390156.1390290
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen


class Phase(NamedTuple):
    """Visible states (n, visible), the hidden units' probabilities given them (n, hidden), and each row's share (n,) of the mean."""

    visible: Tensor
    hidden: Tensor
    share: Tensor


def contrast(net: Net, data: Phase, model: Phase, *, cost: float = 0.0) -> dict[str, Tensor]:
    """The slope of the free energy at the data less that at the model's states, plus `cost` times the weights."""
    weight = torch.addmm(net.params["weight"], (model.hidden * model.share[:, None]).T, model.visible, beta=cost)  # (hidden, visible)
    weight = torch.addmm(weight, (data.hidden * data.share[:, None]).T, data.visible, alpha=-1)
    return {
        "weight": weight,
        "visible_bias": model.share @ model.visible - data.share @ data.visible,
        "hidden_bias": model.share @ model.hidden - data.share @ data.hidden,
    }


def gibbs(net: Net, v: Tensor, steps: int) -> Tensor:
    """Visible states (n, visible) after so many rounds of the chain."""
    for _ in range(steps):
        v = net.call("gibbs", v)
    return v


@rule("divergence", source="Hinton (2002), https://doi.org/10.1162/089976602760128018; Tieleman (2008), https://doi.org/10.1145/1390156.1390290",
      reads="features", target="none", range="unit", nets=("rbm",), optimizer="sgd:rate=0.1,momentum=0.5")
class Divergence:
    """Contrastive divergence with chains of `steps` that begin at the data, or persist from step to step.

    The loss is the squared error of the first reconstruction's mean, summed over the visible units, mean over the batch.
    `chains` is how many persistent chains there are; `cost` is the penalty on the weights, whose momentum is the optimizer's.
    """

    def __init__(self, descent: Descent, *, steps: int = 1, persistent: bool = False, chains: int = 100, cost: float = 0.0002):
        if steps < 1 or chains < 1:
            raise InputError(f"divergence needs at least one step and one chain; got steps={steps}, chains={chains}. "
                             "Write divergence:steps=1.")
        self.descent, self.steps, self.persistent, self.chains, self.cost = descent, steps, persistent, chains, cost

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "divergence")
        if set(net.params) != {"weight", "visible_bias", "hidden_bias"}:
            raise InputError(f"divergence trains a restricted Boltzmann machine; got {type(net.module).__name__}. "
                             "Use --net rbm, or another --rule.")
        state = self.descent.init(net)
        if self.persistent:
            with torch.no_grad():
                mean = net.call("visible", torch.zeros_like(net.params["hidden_bias"])[None])  # (1, visible)
                state["chains"] = mean.repeat(self.chains, 1)                                  # (chains, visible)
        return state

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        v = batch.x                                                      # (n, visible)
        p = net.call("hidden", v)                                        # (n, hidden)
        share = batch.shares()
        rebuilt = net.call("visible", net.call("draw_hidden", p))                    # (n, visible)
        if self.persistent:
            model = gibbs(net, state["chains"], self.steps)              # (chains, visible)
            state["chains"].copy_(model)
            model_share = share.sum() / self.chains * torch.ones_like(model[:, 0])
        else:
            model = gibbs(net, net.call("draw_visible", rebuilt), self.steps - 1)
            model_share = share
        slope = contrast(net, Phase(v, p, share), Phase(model, net.call("hidden", model), model_share), cost=self.cost)
        loss = batch.mean((rebuilt - v).square().sum(1))
        return net, self.descent.follow(net, state, slope), {"loss": loss}
