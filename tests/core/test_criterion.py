"""An objective's value and slope against back-propagation and by hand, and the rule that hands it to a solver."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Solver, Supervised
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, rules, schedules
from chainrule.job.rule_spec import make_rule
from chainrule.rules.backprop import backprop


def setting(weighted=False):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    weight = torch.rand(8, dtype=torch.double) if weighted else None
    return Net.of(module), Batch(torch.randn(8, 4, dtype=torch.double), torch.randint(3, (8,)), weight)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_value_and_slope_are_the_loss_with_what_the_weights_cost(bound, weighted):
    """The slope is backprop's, which adds the penalties' slopes by hand; the value is spelled out here."""
    net, batch = setting(weighted)
    objective = Objective(Supervised(losses.choose("cross-entropy").make()), l1=0.02, l2=0.3)
    net = net if bound else net.clone()
    value, slope = objective.slope(net, batch)
    by_hand, report = backprop(net, batch, criterion=objective.criterion, l1=0.02, l2=0.3)
    torch.testing.assert_close(slope, by_hand, rtol=1e-12, atol=1e-15)
    weights = torch.cat([net.params[name].detach().flatten() for name in ("0.weight", "2.weight")])
    cost = 0.02 * weights.abs().sum() + 0.15 * weights.square().sum()
    torch.testing.assert_close(value, report["loss"] + cost, rtol=1e-12, atol=0)
    torch.testing.assert_close(objective.penalty(net.params).detach(), cost, rtol=1e-12, atol=0)
    each = -net(batch.x).log_softmax(1)[torch.arange(8), batch.y]
    mean = (each * batch.weight).sum() / 8 if weighted else each.sum() / 8
    torch.testing.assert_close(objective.loss_of(net(batch.x), batch), mean, rtol=1e-12, atol=0)


def test_the_rule_gives_a_solver_the_objective_and_the_schedules_factor():
    seen = []

    def step(net, state, batch, objective, factor):
        seen.append(float(factor))
        state["moves"] += 1
        return state, {"loss": objective.value(net, batch).detach()}

    net, batch = setting()
    rule = Solve(Objective(Supervised(losses.choose("cross-entropy").make())), Solver(lambda net: {"moves": torch.zeros(())}, step),
                 schedule=schedules.choose("linear").make())
    state = rule.init(net)
    set_pace(state, {"done": 0.0, "each": 1.0, "whole": 4.0})
    for _ in range(3):
        net, state, report = rule.step(net, state, batch)
    schedule = schedules.choose("linear").make()
    assert seen == [float(schedule(torch.tensor(share))) for share in (0.0, 0.25, 0.5)]
    assert len(set(seen)) == 3
    assert float(state["solver"]["moves"]) == 3
    assert float(state["pace"]["done"]) == 3
    torch.testing.assert_close(report["loss"], rule.objective.value(net, batch).detach())
    assert rule.reads == "everything"


def test_penalties_below_zero_are_refused():
    for name in ("l1", "l2"):
        with pytest.raises(InputError, match=f"{name} .*at least 0; got .*-1"):
            Objective(Supervised(losses.choose("squared").make()), **{name: -1.0})


def test_a_solver_joins_only_a_rule_that_has_an_objective_and_takes_no_clip():
    loss = losses.choose("cross-entropy").make()
    made = make_rule(rules.choose("backprop:l2=0.5"), Supervised(loss), optimizers.choose("lbfgs"), None)
    assert isinstance(made, Solve)
    assert made.objective.l2 == 0.5
    assert made.reads == "everything"
    with pytest.raises(InputError, match="clip"):
        make_rule(rules.choose("backprop:clip=1"), Supervised(loss), optimizers.choose("lbfgs"), None)
    with pytest.raises(InputError, match=r"lbfgs needs the loss itself.*--rule backprop"):
        make_rule(rules.choose("perceptron"), Supervised(losses.choose("perceptron").make()), optimizers.choose("lbfgs"), None)
