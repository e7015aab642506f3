"""Boltzmann machine learning: how often two units are on together with the data clamped, less how often when the machine runs free.

Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7; means in place of draws: Peterson & Anderson (1987),
Complex Systems 1, 995-1019; of the clamped phase alone, with chains that persist in the free one: Salakhutdinov & Hinton (2009),
https://proceedings.mlr.press/v5/salakhutdinov09a.html
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.abilities.densities import Sweeps
from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen

Phase = Literal["gibbs", "mean-field"]


def difference(net: Net, clamped: tuple[Tensor, Tensor], free: tuple[Tensor, Tensor], *, cost: float = 0.0) -> dict[str, Tensor]:
    """The slope of minus the log likelihood: of states (n, units) and their shares (n,), the means and products in the free phase less
    those in the clamped one, plus `cost` times the weights.
    """
    (s, share), (model, model_share) = clamped, free
    together = torch.addmm((model * model_share[:, None]).T @ model, (s * share[:, None]).T, s, alpha=-1)      # (units, units)
    return {"weight": torch.add(together, net.params["weight"], alpha=cost).triu(1), "bias": model_share @ model - share @ s}


@rule("boltzmann-learning", source="Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7", reads="features",
      target="none", range="unit", nets=("boltzmann",), optimizer="sgd:rate=0.05,momentum=0.5")
class BoltzmannLearning:
    """The products of units in two phases, each by draws (`gibbs`) or by means (`mean-field`).

    Clamped, the hidden units settle at the data: by a mean field, or by so many `sweeps` of draws. Free, `chains` of all units go on from
    step to step by so many `sweeps`; or as many mean fields settle, each from where it is put at random. The loss is minus the log
    probability of each visible unit given all others, in nats a row; `cost` is the penalty on the weights.
    """

    def __init__(self, descent: Descent, *, clamped: Phase = "mean-field", free: Phase = "gibbs", sweeps: int = 5, chains: int = 100,
                 cost: float = 0.0):
        if sweeps < 1 or chains < 1:
            raise InputError(f"boltzmann-learning needs at least one sweep and one chain; got sweeps={sweeps}, chains={chains}. "
                             "Write boltzmann-learning:sweeps=5.")
        self.descent, self.clamped, self.free, self.sweeps, self.chains, self.cost = descent, clamped, free, sweeps, chains, cost

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "boltzmann-learning")
        if not isinstance(net.module, Sweeps) or set(net.params) != {"weight", "bias"}:
            raise InputError(f"boltzmann-learning trains a Boltzmann machine; got {type(net.module).__name__}. Use --net boltzmann, or "
                             "another --rule.")
        state = self.descent.init(net)
        if self.free == "gibbs":
            bias = net.params["bias"].detach()
            turns = torch.arange(self.chains, device=bias.device)[:, None] + torch.arange(len(bias), device=bias.device)
            state["chains"] = (turns % 2).to(bias.dtype) + torch.zeros_like(bias)                      # (chains, units), every other one on
        return state

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        v, share = batch.x, batch.shares()
        s, visible = net.call("begun", v), v.shape[1]                                          # (n, units)
        if self.clamped == "mean-field":
            s = net.call("settled", s, visible)
        else:
            hidden = s[:, visible:]
            s = torch.cat([v, (torch.rand_like(hidden) < hidden).to(v.dtype)], 1)
            for _ in range(self.sweeps):
                s = net.call("swept", s, visible)
        if self.free == "gibbs":
            model = state["chains"]
            for _ in range(self.sweeps):
                model = net.call("swept", model, 0)
            state["chains"].copy_(model)
        else:
            model = net.call("settled", torch.rand_like(s[:1].expand(self.chains, -1)), 0)
        even = (share.sum() / self.chains).expand(self.chains)
        total = net.call("total", s)[:, :visible]
        loss = batch.mean(F.binary_cross_entropy_with_logits(total, v, reduction="none").sum(1))
        slope = difference(net, (s, share), (model, even), cost=self.cost)
        return net, self.descent.follow(net, state, slope), {"loss": loss}
