"""Contrastive divergence on a machine small enough to enumerate. Hinton (2002), https://doi.org/10.1162/089976602760128018"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import nets, optimizers, recipes, rules
from chainrule.core.tree import Tree, dot, norm, value_and_grad
from chainrule.job.rule_spec import make_rule
from chainrule.nets.layers.restricted import bits
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.rules.contrastive_divergence import Phase, contrast

SOURCE = "Hinton (2002), https://doi.org/10.1162/089976602760128018"
DATA = ((1, 1, 0, 0), (0, 0, 1, 1), (1, 1, 1, 0), (0, 0, 1, 1), (1, 0, 0, 1))
CHAINS = 4000


def _log_likelihood(net: Net, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Minus the mean log likelihood, by the sum over all 16 x 8 joint states written out."""
    v, h = bits(0, 16, 4).double(), bits(0, 8, 3).double()
    w, b, c = net.params["weight"], net.params["visible_bias"], net.params["hidden_bias"]
    joint = v @ w.T @ h.T + (v @ b)[:, None] + h @ c                                   # (16, 8)
    own = batch.x @ w.T @ h.T + (batch.x @ b)[:, None] + h @ c                         # (n, 8)
    return joint.flatten().logsumexp(0) - own.logsumexp(1).mean(), {}


@recipes("contrastive-divergence", source=SOURCE)
def contrastive_divergence(setting: Setting) -> Outcome:
    """Four visible and three hidden units: the difference of phases against the exact gradient, and how near chains of 1 and 30 come."""
    torch.manual_seed(1)
    net = Net.of(nets.choose("rbm:hidden=3").make((4,), 0).double())
    with torch.no_grad():
        for p in net.params.values():
            p.normal_()
    data = torch.tensor(DATA, dtype=torch.float64)
    _, _, exact = value_and_grad(_log_likelihood, net, Batch(data))
    v = bits(0, 16, 4).double()
    with torch.no_grad():
        share = net.call("log_prob", v).exp()
        even = torch.full((len(data),), 1 / len(data), dtype=torch.float64)
        at_the_model = contrast(net, Phase(data, net.call("hidden", data), even), Phase(v, net.call("hidden", v), share))
    apart = max(float((at_the_model[name] - g).abs().max()) for name, g in exact.items())
    one, thirty = (_direction(net, data, steps) for steps in (1, 30))
    off = {steps: float(norm(_minus(estimate, exact)) / norm(exact)) for steps, estimate in ((1, one), (30, thirty))}
    turned = float(dot(one, exact) / norm(one) / norm(exact))
    return Outcome([
        Figure("greatest difference from the exact gradient, at the model's own distribution", apart, published=0, goal="about",
               within=1e-12, source=SOURCE),
        Figure("relative distance from it, chains of 30", off[30], published=0.05, goal="at most",
               source="four standard errors of the draws"),
        Figure("cosine of the angle to it, chains of 1", turned, published=0, goal="at least", source="Hinton (2002): uphill"),
    ], [["chain", "relative distance"], *([str(steps), f"{value:.3f}"] for steps, value in off.items())])


def _minus(a: Tree, b: Tree) -> Tree:
    return {name: a[name] - b[name] for name in b}


def _direction(net: Net, data: Tensor, steps: int) -> Tree:
    """What one step of the rule at a rate of one takes off the parameters, averaged over many chains."""
    rule = make_rule(rules.choose(f"divergence:steps={steps},cost=0"), None, optimizers.choose("sgd:rate=1"), None)
    after = net.clone()
    rule.step(after, rule.init(after), Batch(data.repeat(CHAINS, 1)))
    return {name: (p - after.params[name]).detach() for name, p in net.params.items()}
