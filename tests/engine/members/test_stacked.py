"""A stack steps as a hand-written loop over its members, and what mixes them is noticed."""

from __future__ import annotations

import pytest
import torch
from made_members import make_rule, module
from tiny import part
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import leaves
from chainrule.engine.members.stacked import Together, disagreement, side_by_side, stack
from chainrule.engine.plans.eager import eager
from chainrule.optim.first_order import adam


def test_a_stack_is_a_hand_written_loop_over_its_members():
    """Second derivation, in float64: softmax regression with its gradient written out, w -= rate (x^T (p - y) / n + l2 w)."""
    rates, penalties = (0.1, 0.7), (0.0, 0.3)
    x = torch.randn(4, 2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # (steps, members, n, features)
    y = torch.arange(40).reshape(4, 2, 5) % 2
    nets = [Net.of(nn.Linear(3, 2).double()) for _ in rates]
    by_hand = [(n.params["weight"].detach().clone(), n.params["bias"].detach().clone()) for n in nets]
    make, _ = make_rule(momentum=0.0)
    rule = Together(make, [{"rate": r, "l2": p} for r, p in zip(rates, penalties, strict=True)])
    learner = stack([Learner(n, make({}).init(n)) for n in nets], rule)
    learner, report = eager(rule.step)(learner, Batch(x, y))
    for i, (w, b) in enumerate(by_hand):
        for t in range(4):
            scores = x[t, i] @ w.T + b
            p = scores.exp() / scores.exp().sum(1, keepdim=True)
            assert float(report["loss"][t, i]) == pytest.approx(float(-p[range(5), y[t, i]].log().mean()), rel=1e-12)
            p[range(5), y[t, i]] -= 1
            slope_w, slope_b = p.T @ x[t, i] / 5 + penalties[i] * w, p.mean(0)
            w, b = w - rates[i] * slope_w, b - rates[i] * slope_b
        torch.testing.assert_close(learner.net.params["weight"][i], w, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(learner.net.params["bias"][i], b, rtol=1e-12, atol=1e-12)


def test_the_state_of_a_stack_shares_no_memory():
    make, _ = make_rule(adam)
    state = Together(make, [{}, {}]).init(Net.stack([Net.of(module(s)) for s in range(2)]))
    for t in leaves(state):
        t[0] += 1
        assert float(t[1].abs().sum()) == 0, "writing one member's state wrote the other's"


def test_a_rule_that_returns_its_net_and_state_anew():
    class Anew:
        reads, target, tolerance = "batch", "any", 1e-3

        def init(self, net):
            return {"sum": {"weight": torch.zeros_like(net.params["weight"])}}

        def step(self, net, state, batch):
            moved = {k: p + batch.x.mean() for k, p in net.params.items()}
            loss = net(batch.x).square().mean()
            return net.at(moved), {"sum": {"weight": state["sum"]["weight"] + moved["weight"]}}, {"loss": loss}

    rule = Anew()
    nets = [Net.of(nn.Linear(3, 2)) for _ in range(2)]
    together = Together(lambda numbers: rule, [{}, {}])
    learner = stack([Learner(n, rule.init(n)) for n in nets], together)
    held = learner.net.params["weight"]
    x = torch.randn(4, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        learner, _ = eager(together.step)(learner, Batch(x))
    assert learner.net.params["weight"] is held
    for i, net in enumerate(nets):
        steps = x[:, i].mean((1, 2)).cumsum(0)                                     # what has been added after each step
        torch.testing.assert_close(held[i], net.params["weight"].detach() + steps[-1])
        torch.testing.assert_close(learner.state["rule"]["sum"]["weight"][i], 4 * net.params["weight"].detach() + steps.sum())


def test_a_wrong_answer_of_the_stack_is_noticed():
    """`disagreement` is the guard of every trial: a rule that mixes its members is found out."""
    make, _ = make_rule(momentum=0.0)
    nets = [Net.of(module(s)) for s in range(2)]
    learners = [Learner(n, make({}).init(n)) for n in nets]
    batches = [Batch(part(7).x, part(7).y), Batch(part(9).x[2:], part(9).y[2:])]
    rules, numbers = [make({"rate": r}) for r in (0.1, 0.2)], [{"rate": 0.1}, {"rate": 0.2}]
    assert disagreement(learners, rules, Together(make, numbers), batches, 0) < 1e-5
    assert disagreement(learners, rules, Together(make, numbers[::-1]), batches, 0) > 0.4
    assert side_by_side(batches, axis=0).x.shape == (2, 7, 3)
