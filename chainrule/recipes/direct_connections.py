"""Connections that pass the hidden layer by, and weights that two layers share. Rumelhart, Hinton & Williams (1986)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, optimizers, recipes, rules
from chainrule.job.rule_spec import make_rule
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0"
BOOK = "Rumelhart, Hinton & Williams (1986), in Parallel Distributed Processing 1, chapter 8, figure 2"
INPUTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SIGNS = torch.tensor([-1.0, 1.0, 1.0, -1.0])
SEEDS, STEPS = 8, 300


@recipes("direct-connections", source=SOURCE)
def direct_connections(setting: Setting) -> Outcome:
    """Exclusive or by a single hidden unit, with and without direct connections, and the gradient of a weight used twice."""
    wrong = {direct: min(_wrong(direct, seed) for seed in range(SEEDS)) for direct in (True, False)}
    return Outcome([
        Figure("wrong answers of 2-1-1 with direct connections, best of 8 seeds", wrong[True], published=0, source=BOOK, goal="at most"),
        Figure("wrong answers of 2-1-1 without, best of 8 seeds", wrong[False], published=1, goal="at least",
               source="one unit cuts the plane once, and the classes are not linearly separable"),
        Figure("greatest relative difference of a tied weight's gradient from the sum of both", _tied(), published=0, goal="about",
               within=1e-12, source=SOURCE + ": the derivatives of equal weights are added"),
    ])


def _wrong(direct: bool, seed: int) -> int:
    """How many of the four answers are wrong after learning from a seed."""
    torch.manual_seed(seed)
    module = nets.choose(f"mlp:hidden=1,activation=tanh,direct={'yes' if direct else 'no'}").make((2,), 1)
    net = Net.of(module)
    rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("logistic").make()), optimizers.choose("adam:rate=0.1"), None)
    state = rule.init(net)
    for _ in range(STEPS):
        net, state, _ = rule.step(net, state, Batch(INPUTS, SIGNS))
    return int((net(INPUTS).reshape(-1) * SIGNS <= 0).sum())


class _Tied(nn.Module):
    """An encoder whose weights, turned over, are its decoder's."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)                       # (code, inputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.T) @ self.weight       # (n, inputs)


def _tied() -> float:
    """How far the direction of a weight used twice is from the sum of the derivatives of its two uses, worked out by hand."""
    torch.manual_seed(0)
    x, weight = torch.randn(9, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    net = Net.of(_Tied(weight.clone()))
    rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("squared").make()), optimizers.choose("sgd:rate=1"), None)
    after, _, _ = rule.step(net, rule.init(net), Batch(x, x))
    direction = weight - after.params["weight"].detach()
    code = torch.tanh(x @ weight.T)                              # (n, code)
    off = (code @ weight - x) / len(x)                           # (n, inputs)
    decoding = code.T @ off                                      # (code, inputs)
    encoding = (off @ weight.T * (1 - code.square())).T @ x      # (code, inputs)
    expected = decoding + encoding
    return float((direction - expected).norm() / expected.norm())
