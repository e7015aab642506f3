"""Linear dynamical systems: exact against one joint Gaussian, smoothed states inside their bands, and learned from what is seen alone."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import recipes, rules
from chainrule.nets.lds import LinearDynamicalSystem
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting

KALMAN = "Kalman (1960), https://doi.org/10.1115/1.3662552"
SHUMWAY = "Shumway & Stoffer (1982), https://doi.org/10.1111/j.1467-9892.1982.tb00349.x"
TURN, GAPS, ITERATIONS = 0.3, 0.1, 60
FEW = 8                                           # steps of the sequences that are computed by brute force


@recipes("lds", source=f"{KALMAN}; {SHUMWAY}")
def linear_dynamics(setting: Setting) -> Outcome:
    """A state that turns and is seen with noise and gaps: likelihoods, 95 % bands of smoothed states, and what learning makes of it."""
    torch.manual_seed(0)
    true = turning(60)
    x, path = true.draw(50 if setting.short else 300)
    x[torch.rand_like(x) < GAPS] = math.nan
    with torch.no_grad():
        short = turning(FEW)
        apart = float((short.log_prob(x[:20, :FEW]) - jointly(short, x[:20, :FEW])).abs().max())
        smoothed = true.smoothed(x)
        spread = smoothed.covariances.diagonal(dim1=2, dim2=3).sqrt()
        inside = float(((smoothed.means - path).abs() <= 1.96 * spread).double().mean())
        best = float(-true.log_prob(x).sum() / x[..., 0].numel())
    net, rule = Net.of(LinearDynamicalSystem((60, 2), 0).double()), rules.choose("kalman-em").make()
    state, losses = rule.init(net), []
    for _ in range(ITERATIONS):
        net, state, report = rule.step(net, state, Batch(x))
        losses.append(float(report["loss"]))
    rises = max(0.0, *(later - earlier for earlier, later in itertools.pairwise(losses)))
    turns = torch.linalg.eigvals(net.params["transition.weight"].detach()).angle().abs().max()
    goal: Goal = "none" if setting.short else "about"
    return Outcome([
        Figure("greatest difference of a log likelihood from that of one joint Gaussian", apart, published=1e-6, goal="at most",
               source=KALMAN),
        Figure("greatest rise of the loss in an iteration, in nats a step", rises, published=1e-6, goal="at most",
               source=SHUMWAY + ": none"),
        Figure("% of true states inside the 95 % bands", 100 * inside, published=95, goal="about", within=1.5,
               source="the level of the bands"),
        Figure("nats a step after learning, above those of the system that made the data", losses[-1] - best, published=0.0, goal=goal,
               within=0.02, source="the system itself"),
        Figure("angle by which the learned system turns at each step", float(turns), published=TURN, goal=goal, within=0.02,
               source="the system itself"),
    ], notes=["chainrule train series.csv --target none --time date --net lds:states=2"])


def turning(length: int) -> LinearDynamicalSystem:
    """A state that turns by a fixed angle and shrinks a little, seen as it is, with noise."""
    module = LinearDynamicalSystem((length, 2), 0).double()
    with torch.no_grad():
        module.transition.weight.copy_(0.98 * torch.tensor([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]]))
        module.transition.scale.mul_(0.2)
        module.emission.weight.copy_(torch.eye(2))
        module.emission.scale.mul_(0.5)
    return module


def jointly(module: LinearDynamicalSystem, x: Tensor) -> Tensor:
    """The log likelihoods (n,) of what is seen of sequences (n, t, d) as draws of one Gaussian, built up state by state."""
    system, length = module.system, x.shape[1]
    mean, covariance = [system.mean], system.covariance
    for t in range(1, length):
        last = covariance[:, -len(system.mean) :] @ system.transition.T                          # with the newest state
        own = system.transition @ covariance[-len(system.mean) :, -len(system.mean) :] @ system.transition.T + system.process
        covariance = torch.cat([torch.cat([covariance, last], 1), torch.cat([last.T, own], 1)])
        mean.append(system.transition @ mean[-1])
        assert len(covariance) == (t + 1) * len(system.mean)
    one = torch.eye(length, dtype=x.dtype)
    reads = torch.kron(one, system.emission)
    spread = reads @ covariance @ reads.T + torch.kron(one, system.noise)
    centre = reads @ torch.cat(mean) + system.offset.repeat(length)
    each = []
    for row in x.flatten(1):
        seen = ~row.isnan()
        each.append(torch.distributions.MultivariateNormal(centre[seen], spread[seen][:, seen]).log_prob(row[seen]))
    return torch.stack(each)
