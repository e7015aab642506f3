"""Contrastive divergence: lower the energy of the data, raise that of what the machine makes of it.

Hinton (2002), https://doi.org/10.1162/089976602760128018; persistent chains: Tieleman (2008), https://doi.org/10.1145/1390156.1390290
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad
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


def activity(p: Tensor, share: Tensor) -> Tensor:
    """How often each hidden unit is on, (hidden,), by probabilities (n, hidden), or (n, hidden, h, w) of units in many places."""
    return share @ (p if p.dim() == 2 else p.mean((2, 3)))


def contrast_of_shared(net: Net, data: Tensor, model: Tensor, shares: tuple[Tensor, Tensor], *, cost: float = 0.0) -> dict[str, Tensor]:
    """The same for weights that many places share, a place: of visible states (n, ...) of the data and of the model, and their shares (n,).

    Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453
    """

    def apart(net: Net, data: Tensor, model: Tensor) -> tuple[Tensor, Report]:
        energy = (shares[0] * net.call("free_energy", data)).sum() - (shares[1] * net.call("free_energy", model)).sum()
        return energy / net.module.places + 0.5 * cost * net.params["weight"].square().sum(), {}

    return value_and_grad(apart, net, data, model)[2]


def gibbs(net: Net, v: Tensor, steps: int) -> Tensor:
    """Visible states (n, visible) after so many rounds of the chain."""
    for _ in range(steps):
        v = net.call("gibbs", v)
    return v


@rule("divergence", source="Hinton (2002), https://doi.org/10.1162/089976602760128018; Tieleman (2008), https://doi.org/10.1145/1390156.1390290",
      reads="features", target="none", range="unit", nets=("rbm", "conv-rbm"), optimizer="sgd:rate=0.1,momentum=0.5")
class Divergence:
    """Contrastive divergence with chains of `steps` that begin at the data, or persist from step to step.

    The loss is the squared error of the first reconstruction's mean, summed over the visible units, mean over the batch.
    `chains` is how many persistent chains there are; `cost` is the penalty on the weights, whose momentum is the optimizer's. With
    `sparsity` the biases of hidden units that are on more often than that share of the batch fall, and rise where they are on less often,
    `sparsity_cost` times the difference: Lee, Ekanadham & Ng (2008), NIPS 20:873, for the biases alone.
    `statistics` says what is learned of the hidden units, their means or states drawn from them: Hinton (2010), "A practical guide to
    training restricted Boltzmann machines", section 3. With `tempering`, persistent chains run at so many temperatures and exchange
    their states after every step, so that those of the machine itself do not stay where they are; the share of exchanges that are
    accepted is reported. Desjardins et al. (2010), https://proceedings.mlr.press/v9/desjardins10a.html
    """

    def __init__(self, descent: Descent, *, steps: int = 1, persistent: bool = False, chains: int = 100, cost: float = 0.0002,
                 sparsity: float | None = None, sparsity_cost: float = 1.0,
                 statistics: Literal["probabilities", "samples"] = "probabilities", tempering: int = 1):
        if steps < 1 or chains < 1 or tempering < 1:
            raise InputError(f"divergence needs at least one step, one chain and one temperature; got steps={steps}, chains={chains}, "
                             f"tempering={tempering}. Write divergence:steps=1.")
        if (sparsity is not None and not 0 < sparsity < 1) or sparsity_cost < 0:
            raise InputError(f"divergence needs a sparsity between 0 and 1 and a sparsity_cost of at least 0; got sparsity={sparsity}, "
                             f"sparsity_cost={sparsity_cost}. Write divergence:sparsity=0.05.")
        self.descent, self.steps, self.persistent, self.chains, self.cost = descent, steps, persistent or tempering > 1, chains, cost
        self.sparsity, self.sparsity_cost = sparsity, sparsity_cost
        self.drawn, self.temperatures = statistics == "samples", tempering

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "divergence")
        if set(net.params) != {"weight", "visible_bias", "hidden_bias"}:
            raise InputError(f"divergence trains a restricted Boltzmann machine; got {type(net.module).__name__}. "
                             "Use --net rbm, or another --rule.")
        state = self.descent.init(net)
        if self.persistent and net.params["weight"].dim() > 2:
            raise InputError("divergence has persistent chains for machines without shared weights. Leave out persistent.")
        if self.temperatures > 1 and not hasattr(net.module, "tempered"):
            raise InputError(f"divergence tempers the chains of rbm; {type(net.module).__name__} has none at other temperatures. Leave out "
                             "tempering.")
        if self.persistent:
            with torch.no_grad():
                mean = net.call("visible", torch.zeros_like(net.params["hidden_bias"])[None])  # (1, visible)
                several = mean.repeat(self.chains, 1)                                          # (chains, visible)
                state["chains"] = several if self.temperatures == 1 else several.repeat(self.temperatures, 1, 1)
        return state

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        v = batch.x                                                      # (n, visible)
        p = net.call("hidden", v)                                        # (n, hidden)
        share = batch.shares()
        report: Report = {}
        h = net.call("draw_hidden", p)
        rebuilt = net.call("visible", h)                                 # (n, visible)
        if self.persistent:
            model, report = self._onward(net, state)                     # (chains, visible)
            model_share = share.sum() / self.chains * torch.ones_like(model[:, 0])
        else:
            model = gibbs(net, net.call("draw_visible", rebuilt), self.steps - 1)
            model_share = share
        if v.dim() > 2:
            slope = contrast_of_shared(net, v, model, (share, model_share), cost=self.cost)
        else:
            q = net.call("hidden", model)
            data = Phase(v, h if self.drawn else p, share)
            slope = contrast(net, data, Phase(model, net.call("draw_hidden", q) if self.drawn else q, model_share), cost=self.cost)
        if self.sparsity is not None:
            slope["hidden_bias"] = slope["hidden_bias"] + self.sparsity_cost * (activity(p, share) - self.sparsity)
        loss = batch.mean((rebuilt - v).square().flatten(1).sum(1))
        return net, self.descent.follow(net, state, slope), {"loss": loss, **report}

    def _onward(self, net: Net, state: Tree) -> tuple[Tensor, Report]:
        """The persistent chains, some steps on, and what there is to report of them; the state has them too."""
        if self.temperatures == 1:
            model = gibbs(net, state["chains"], self.steps)
            state["chains"].copy_(model)
            return model, {}
        every, accepted = state["chains"], []
        inverse = torch.linspace(1, 0, self.temperatures, dtype=every.dtype, device=every.device)[:, None, None]
        for _ in range(self.steps):
            every, share = net.call("exchanged", net.call("tempered", every, inverse), inverse)
            accepted.append(share)
        state["chains"].copy_(every)
        return every[0], {"exchanges": torch.stack(accepted).mean()}
