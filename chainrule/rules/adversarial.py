"""The adversarial rule: a discriminator climbs the value of a game, a generator descends it, in turn.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), https://arxiv.org/abs/1406.2661
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.descend import Descend, Optimizer, Schedule
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad


@rule("adversarial", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661", reads="features", target="none",
      nets=("gan",), optimizer="adam:rate=0.0002,beta1=0.5", best="last")
class Adversarial:
    """One step of the discriminator, then one of the generator, each with fresh noise and its own optimizer state.

    The loss is the value of the game before the step, mean log D(x) + mean log(1 - D(G(z))): -log 4 where D cannot tell,
    0 where it always can. `objective` is what the generator descends: that value, or minus mean log D(G(z)), which has
    the same fixed points and does not flatten where D wins (section 3). `discriminator` is the discriminator's
    optimizer where it differs from the generator's.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule | None = None, *,
                 discriminator: Optimizer | None = None, objective: Literal["minimax", "non-saturating"] = "non-saturating"):
        self.objective = objective
        self.generator = Descend(self._fool, optimizer, schedule=schedule)
        self.discriminator = Descend(self._tell, discriminator or optimizer, schedule=schedule)

    def init(self, net: Net) -> Tree:
        for name in ("generator", "discriminator"):
            if not _side(net, name).params:
                raise InputError(f"adversarial needs a net with a generator and a discriminator; {type(net.module).__name__} has no "
                                 f"{name}. Use --net gan, or another --rule.")
        return {"generator": self.generator.init(_side(net, "generator")),
                "discriminator": self.discriminator.init(_side(net, "discriminator"))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            fake = net.call("generate", net.call("draw_noise", len(batch.x)))    # (n, features)
        _, state["discriminator"], told = self.discriminator.step(
            _side(net, "discriminator"), state["discriminator"], (net, batch, fake))  # type: ignore[arg-type]
        _, state["generator"], fooled = self.generator.step(
            _side(net, "generator"), state["generator"], (net, net.call("draw_noise", len(batch.x))))  # type: ignore[arg-type]
        return net, state, {"loss": -told["discriminator"], **told, **fooled}

    def _tell(self, side: Net, given: tuple[Net, Batch, Tensor]) -> tuple[Tree, Report]:
        loss, _, direction = value_and_grad(_telling, side, *given)
        return direction, {"discriminator": loss}

    def _fool(self, side: Net, given: tuple[Net, Tensor]) -> tuple[Tree, Report]:
        loss, _, direction = value_and_grad(_saturating if self.objective == "minimax" else _fooling, side, *given)
        return direction, {"generator": loss}


def _telling(side: Net, net: Net, batch: Batch, fake: Tensor) -> tuple[Tensor, Report]:
    """Minus the value of the game, -mean log D(x) - mean log(1 - D(fake)): the discriminator's cross-entropy."""
    whole = _whole(side, net)
    real = F.softplus(-whole.call("judge", batch.x)).squeeze(-1)         # (n,)
    return batch.mean(real) + F.softplus(whole.call("judge", fake)).mean(), {}


def _saturating(side: Net, net: Net, z: Tensor) -> tuple[Tensor, Report]:
    """mean log(1 - D(G(z)))"""
    whole = _whole(side, net)
    return -F.softplus(whole.call("judge", whole.call("generate", z))).mean(), {}


def _fooling(side: Net, net: Net, z: Tensor) -> tuple[Tensor, Report]:
    """-mean log D(G(z))"""
    whole = _whole(side, net)
    return F.softplus(-whole.call("judge", whole.call("generate", z))).mean(), {}


def _side(net: Net, name: str) -> Net:
    """The net as one player may change it: the same module, with that player's parameters alone."""
    return Net(net.module, {k: v for k, v in net.params.items() if k.startswith(name + ".")}, net.buffers, bound=net.bound,
               caller=net.caller)


def _whole(side: Net, net: Net) -> Net:
    """The whole net with the parameters that `side` is being differentiated at."""
    return net if side.bound else net.at({**net.params, **side.params})
