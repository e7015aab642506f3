"""The adversarial rule: a discriminator climbs the value of a game, a generator descends it, in turn.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), https://arxiv.org/abs/1406.2661
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad_of


@rule("adversarial", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661", reads="features", target="none",
      nets=("gan",), optimizer="adam:rate=0.0002,beta1=0.5", best="last")
class Adversarial:
    """One step of the discriminator, then one of the generator, each with fresh noise and its own optimizer.

    The loss is the value of the game before the step, mean log D(x) + mean log(1 - D(G(z))): -log 4 where D cannot tell,
    0 where it always can. `objective` is what the generator descends: that value, or minus mean log D(G(z)), which has
    the same fixed points and does not flatten where D wins (section 3). `generator` and `discriminator` are the optimizers
    of these parts where they are not --optimizer. Raises InputError for a net without both parts.
    """

    def __init__(self, *, objective: Literal["minimax", "non-saturating"] = "non-saturating", generator: Descent, discriminator: Descent):
        self.objective, self.generator, self.discriminator = objective, generator, discriminator

    def init(self, net: Net) -> Tree:
        for name in ("generator", "discriminator"):
            if not isinstance(getattr(net.module, name, None), nn.Module):
                raise InputError(f"adversarial needs a net with a generator and a discriminator; {type(net.module).__name__} has no "
                                 f"{name}. Use --net gan, or another --rule.")
        return {"generator": self.generator.init(net.only("generator")),
                "discriminator": self.discriminator.init(net.only("discriminator"))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            fake = net.call("generate", net.call("draw_noise", len(batch.x)))    # (n, features)
        cost, _, slope = value_and_grad_of("discriminator", _telling, net, batch, fake)
        state["discriminator"] = self.discriminator.follow(net, state["discriminator"], slope)
        fooling = _saturating if self.objective == "minimax" else _fooling
        fooled, _, slope = value_and_grad_of("generator", fooling, net, net.call("draw_noise", len(batch.x)))
        state["generator"] = self.generator.follow(net, state["generator"], slope)
        return net, state, {"loss": -cost, "discriminator": cost, "generator": fooled}


def _telling(net: Net, batch: Batch, fake: Tensor) -> tuple[Tensor, Report]:
    """Minus the value of the game, -mean log D(x) - mean log(1 - D(fake)): the discriminator's cross-entropy."""
    real = F.softplus(-net.call("judge", batch.x)).squeeze(-1)           # (n,)
    return batch.mean(real) + F.softplus(net.call("judge", fake)).mean(), {}


def _saturating(net: Net, z: Tensor) -> tuple[Tensor, Report]:
    """mean log(1 - D(G(z)))"""
    return -F.softplus(net.call("judge", net.call("generate", z))).mean(), {}


def _fooling(net: Net, z: Tensor) -> tuple[Tensor, Report]:
    """-mean log D(G(z))"""
    return F.softplus(-net.call("judge", net.call("generate", z))).mean(), {}
