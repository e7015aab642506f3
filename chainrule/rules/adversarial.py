"""The adversarial rule: a discriminator climbs the value of a game, a generator descends it, in turn.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), https://arxiv.org/abs/1406.2661; Mao, Li, Xie, Lau,
Wang & Smolley (2017), https://arxiv.org/abs/1611.04076; Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), https://arxiv.org/abs/1704.00028
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.nets import PlaysGame
from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad_of

Form = Literal["minimax", "non-saturating", "least-squares", "wgan-gp"]
STEPS = {"wgan-gp": 5}     # of the discriminator for each of the generator, where they are not 1: algorithm 1


@rule("adversarial", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661; Mao et al. (2017), "
      "https://arxiv.org/abs/1611.04076; Gulrajani et al. (2017), https://arxiv.org/abs/1704.00028", nets=("gan",),
      optimizer="adam:rate=0.0002,beta1=0.5", best="last",
      own_costs=True)
class Adversarial:
    """So many `steps` of the discriminator, then one of the generator, each with fresh noise and its own optimizer.

    The loss is the value of the game before the last of these steps, which the generator wants low. In the forms `minimax` and
    `non-saturating` it is mean log D(x) + mean log(1 - D(G(z))): -log 4 where D cannot tell, 0 where it always can. The generator descends
    that value, or minus mean log D(G(z)), which has the same fixed points and does not flatten where D wins (section 3). `least-squares`:
    scores aim at 1 for data and 0 for samples, and the generator at 1 for its own. `wgan-gp`: the mean score of data less that of samples,
    with `penalty` times the mean of (|slope of the score| - 1)^2 at points between the two. `objective` is the form where it is not
    to be the net's own. `generator` and `discriminator` are the optimizers of these parts where they are not --optimizer.
    """

    def __init__(self, *, objective: Form | None = None, steps: int | None = None, penalty: float = 10.0, generator: Descent,
                 discriminator: Descent):
        if (steps is not None and steps < 1) or penalty < 0:
            raise InputError(f"adversarial expects at least one step of the discriminator and a penalty of at least 0; got steps={steps}, "
                             f"penalty={penalty}. Write e.g. adversarial:steps=5,penalty=10.")
        self.objective, self.steps, self.penalty = objective, steps, penalty
        self.generator, self.discriminator = generator, discriminator

    def form(self, net: Net) -> str:
        """The form of the game: the one asked for, or the net's."""
        module = net.module
        return self.objective or (module.form if isinstance(module, PlaysGame) else "non-saturating")

    def init(self, net: Net) -> Tree:
        """The optimizers' states. Raises InputError for a net without both parts."""
        for name in ("generator", "discriminator"):
            if not isinstance(getattr(net.module, name, None), nn.Module):
                raise InputError(f"adversarial needs a net with a generator and a discriminator; {type(net.module).__name__} has no "
                                 f"{name}. Use --net gan, or another --rule.")
        return {"generator": self.generator.init(net.only("generator")),
                "discriminator": self.discriminator.init(net.only("discriminator"))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        form = self.form(net)
        labels = (batch.y,) if isinstance(net.module, PlaysGame) and net.module.labels else ()
        for _ in range(self.steps or STEPS.get(form, 1)):
            with torch.no_grad():
                fake = net.call("generate", net.call("draw_noise", len(batch.x)), *labels)            # (n, features)
            cost, parts, slope = value_and_grad_of("discriminator", self._telling, net, batch, fake, labels)
            state["discriminator"] = self.discriminator.follow(net, state["discriminator"], slope)
        fooled, _, slope = value_and_grad_of("generator", self._fooling, net, net.call("draw_noise", len(batch.x)), labels)
        state["generator"] = self.generator.follow(net, state["generator"], slope)
        return net, state, {"loss": -parts["game"].detach(), "discriminator": cost, "generator": fooled}

    def _telling(self, net: Net, batch: Batch, fake: Tensor, labels: tuple[Any, ...]) -> tuple[Tensor, Report]:
        """What the discriminator descends; `game` is the same without the penalty."""
        form = self.form(net)
        real, generated = (net.call("judge", x, *labels).squeeze(-1) for x in (batch.x, fake))         # (n,) each
        if form == "least-squares":
            game = 0.5 * (batch.mean((real - 1).square()) + generated.square().mean())
        elif form == "wgan-gp":
            game = generated.mean() - batch.mean(real)
        else:
            game = batch.mean(F.softplus(-real)) + F.softplus(generated).mean()
        cost = game + self.penalty * slopes_off(net, batch.x, fake, labels) if form == "wgan-gp" else game
        return cost, {"game": game}

    def _fooling(self, net: Net, z: Tensor, labels: tuple[Any, ...]) -> tuple[Tensor, Report]:
        """What the generator descends."""
        form, scores = self.form(net), net.call("judge", net.call("generate", z, *labels), *labels)
        if form == "minimax":
            return -F.softplus(scores).mean(), {}
        if form == "least-squares":
            return 0.5 * (scores - 1).square().mean(), {}
        return (-scores if form == "wgan-gp" else F.softplus(-scores)).mean(), {}


def slopes_off(net: Net, real: Tensor, fake: Tensor, labels: tuple[Any, ...] = ()) -> Tensor:
    """The mean of (|slope| - 1)^2 of the score at random points on the lines between rows (n, ...) and samples (n, features)."""
    rows = real.flatten(1)
    share = torch.rand_like(rows[:, :1])
    between = share * rows + (1 - share) * fake

    def score(x: Tensor) -> Tensor:
        total: Tensor = net.call("judge", x, *labels).sum()
        return total

    slope = torch.func.grad(score)(between)                                                         # (n, features)
    off: Tensor = slope.square().sum(1).clamp(min=1e-24).sqrt() - 1                                 # (n,)
    return off.square().mean()
