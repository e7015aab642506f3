"""What a step is known by: its operations, counted and hashed."""

from functools import partial
from itertools import pairwise

import torch
from tiny import chunk, dense, descend, learner
from torch import nn
from torch.nn import functional as F

from chainrule.core.net import Net
from chainrule.engine.plans import planner
from chainrule.engine.plans.cache import Memory
from chainrule.engine.plans.planner import Planning, choose
from chainrule.engine.plans.signature import signature


class Same(nn.Module):
    """One class for nets that compute different things."""

    def __init__(self, f, depth=1):
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.f = nn.ModuleList(nn.Linear(3, 3) for _ in range(depth)), f

    def forward(self, x):
        for layer in self.layers:
            x = self.f(layer(x))
        return x[:, :2]


def of(f, depth=1, rows=7):
    rule = descend()
    return signature(rule, learner(Net.of(Same(f, depth)), rule), chunk(1, rows)[0], 0)


def test_nets_of_one_class_and_shape_that_compute_other_things_are_told_apart():
    """They were not: one inherited what the other had been refused for."""
    assert of(torch.tanh) == of(torch.tanh)
    assert len({of(f).digest for f in (torch.tanh, F.softshrink, partial(F.softshrink, lambd=0.2), torch.relu)}) == 4
    assert of(torch.tanh, rows=7).digest != of(torch.tanh, rows=8).digest


def test_operations_grow_by_the_same_number_with_each_layer():
    counts = [of(torch.tanh, depth).operations for depth in (2, 3, 4, 5)]
    assert len({b - a for a, b in pairwise(counts)}) == 1
    assert counts[1] - counts[0] >= 4


def test_looking_leaves_the_learner_and_the_numbers_to_come_alone():
    rule, net = descend(), dense(0.3)
    one = learner(net, rule)
    before = {name: t.detach().clone() for name, t in net.tensors.items()}
    state = torch.get_rng_state()
    signature(rule, one, chunk(1)[0], 0)
    assert all(torch.equal(before[name], t) for name, t in net.tensors.items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_program_whose_making_would_take_too_long_is_not_begun(monkeypatch):
    monkeypatch.setattr(planner, "signature", lambda *given: signature(*given)._replace(operations=10**6))
    rule = descend()
    choice = choose(rule, learner(dense(), rule), chunk(10), Planning(10**9, 100, threads=1, identity="mlp", memory=Memory(None)))
    assert choice.plan.name == "eager"
    assert any("at most 120 s are spent" in r["reason"] for r in choice.rejected if r["plan"] == "native")
