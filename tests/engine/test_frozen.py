"""Frozen and unused parameters: whatever moves weights leaves them bit for bit, under every optimizer, rule, plan and in a stack."""

from functools import partial

import pytest
import torch
from made_members import member, run
from tiny import part, running
from torch import nn

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Solver, Supervised
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import value_and_grad
from chainrule.engine.plans.plan import Plan
from chainrule.job.rule_spec import make_rule
from chainrule.losses.classic import cross_entropy, squared
from chainrule.optim.constraints import max_norm
from chainrule.optim.first_order import adamw, sgd
from chainrule.rules.backprop import backprop

OPTIMIZERS = [entry.name for entry in registry.optimizers.entries()]


class Spare(nn.Module):
    """A first layer that is frozen, one that is trained, and one that nothing goes through."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.fixed, self.last, self.spare = nn.Linear(3, 6), nn.Linear(6, 2), nn.Linear(4, 4)
        self.fixed.requires_grad_(False)
        self.scale = nn.Parameter(torch.full((6, 6), 2.0), requires_grad=False)

    def forward(self, x):
        return self.last((self.fixed(x) @ self.scale).tanh())


STILL = ("fixed.weight", "fixed.bias", "scale", "spare.weight", "spare.bias")


def snapshot(net):
    return {name: t.detach().clone() for name, t in net.tensors.items()}


def assert_still(before, after, names=STILL):
    for name in names:
        assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["last.weight"], after["last.weight"])


def descent(optimizer, *, l1=0.01, l2=0.1, length=0.05):
    """With every way there is to move a weight at once: decay, penalties and a constraint that no initial weight keeps."""
    return Descend(partial(backprop, criterion=Supervised(cross_entropy()), l1=l1, l2=l2), optimizer, constraint=max_norm(length=length))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_leaves_them_alone(name):
    entry = registry.optimizers.find(name)
    spec = f"{name}:decay=0.1" if "decay" in entry.options and not isinstance(entry.make(), Solver) else name
    least = name in ("gauss-newton", "levenberg")                        # these take squared errors alone
    criterion = Supervised(squared() if least else cross_entropy())
    rule = make_rule(registry.rules.choose("backprop"), criterion, registry.optimizers.choose(spec), None)
    net, data = Net.of(Spare()), part(24)
    before, state = snapshot(net), rule.init(net)
    for _ in range(3):
        net, state, _ = rule.step(net, state, Batch(data.x, torch.eye(2)[data.y] if least else data.y))
    assert_still(before, snapshot(net))


@pytest.mark.parametrize("spec", ["backprop:l1=0.1", "backprop:l2=0.1", "backprop:l1=0.1,l2=0.1,clip=0.5"])
@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs", "bold-driver"])
def test_penalties_leave_them_alone(spec, optimizer):
    if optimizer == "lbfgs" and "clip" in spec:
        pytest.skip("solvers take no clip")
    rule = make_rule(registry.rules.choose(spec), Supervised(cross_entropy()), registry.optimizers.choose(optimizer), None)
    net, data = Net.of(Spare()), part(24)
    before, state = snapshot(net), rule.init(net)
    for _ in range(3):
        net, state, _ = rule.step(net, state, Batch(data.x, data.y))
    assert_still(before, snapshot(net))


def test_it_is_torchs_adamw():
    """Oracle: torch.optim.AdamW on the same module, which skips what has no gradient."""
    mine, theirs, data = Spare().double(), Spare().double(), part(24)
    x = data.x.double()
    net, rule = Net.of(mine), Descend(partial(backprop, criterion=Supervised(cross_entropy())), adamw(rate=0.05, decay=0.1))
    optimizer, state = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0.1), rule.init(net)
    for _ in range(5):
        net, state, _ = rule.step(net, state, Batch(x, data.y))
        optimizer.zero_grad()
        nn.functional.cross_entropy(theirs(x), data.y).backward()
        optimizer.step()
    for (name, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        assert name.startswith("last.") or torch.equal(a, b)


@pytest.mark.parametrize("plan", [Plan(threads=1), Plan(threads=1, native=True, chunk=4), Plan(threads=1, channels_last=True)])
@pytest.mark.parametrize("optimizer", [adamw(rate=0.1, decay=0.1), sgd(rate=0.1, momentum=0.9, decay=0.1)])
def test_every_plan_leaves_them_alone(plan, optimizer):
    net = Net.of(Spare())
    before = snapshot(net)
    list(running(net, descent(optimizer), under=plan, monitor=()).run())
    assert_still(before, snapshot(net))


@pytest.mark.parametrize("plan", [Plan(threads=1), pytest.param(Plan(threads=1, native=True, chunk=4), marks=pytest.mark.slow)])
def test_a_frozen_normalisation_is_that_of_use(plan):
    """Its running statistics stay, and are what it normalises by: the step is that of a layer x * weight + bias."""
    torch.manual_seed(0)
    fixed = nn.BatchNorm1d(3)
    fixed.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
    fixed.running_var.copy_(torch.tensor([0.5, 4.0, 1.0]))
    fixed.requires_grad_(False)
    last = nn.Linear(3, 2)
    twin = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    factor = (fixed.running_var + fixed.eps).rsqrt()
    with torch.no_grad():
        twin[0].weight.copy_(torch.diag(factor))
        twin[0].bias.copy_(-fixed.running_mean * factor)
        twin[1].load_state_dict(last.state_dict())
    twin[0].requires_grad_(False)
    net, other = Net.of(nn.Sequential(fixed, last)), Net.of(twin)
    before = snapshot(net)
    for one in (net, other):
        list(running(one, descent(sgd(rate=0.1)), under=plan, monitor=()).run())
    after = snapshot(net)
    assert [name for name in after if torch.equal(before[name], after[name])] == [name for name in after if name.startswith("0.")]
    torch.testing.assert_close(after["1.weight"], other.params["1.weight"].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compiled_steps_leave_them_alone():
    net = Net.of(Spare())
    before = snapshot(net)
    list(running(net, descent(adamw(rate=0.1, decay=0.1)), under=Plan(threads=1, compiled=True), monitor=()).run())
    assert_still(before, snapshot(net))


@pytest.mark.usefixtures("worth_a_trial", "together")
def test_members_of_a_stack_leave_them_alone():
    """Each has frozen weights of its own."""
    several = [member(net=Spare(seed), optimizer=adamw, rate=0.1, decay=0.1, l1=0.01, l2=0.1, seed=seed) for seed in (1, 2, 3)]
    before = [snapshot(one.seat.net) for one in several]
    _, after = run(several)
    assert [one.seat.position.plan[0].get("together") for one in several] == [3, 3, 3]
    for mine, theirs in zip(before, after, strict=True):
        assert_still(mine, theirs)


def test_a_parameter_that_a_step_does_not_use_waits_for_one_that_does():
    """A layer that is left out now and then moves only in the steps it takes part in, as in torch."""
    net, x, y = Net.of(Spare()), torch.randn(8, 4), torch.zeros(8, dtype=torch.long)

    def value(net, use):
        return (net.module.spare(x) if use else net.module.last(torch.ones(8, 6))).square().mean(), {}

    rule = Descend(lambda net, batch: (value_and_grad(value, net, batch.x)[2], {}), sgd(rate=0.1, decay=0.5))
    state = rule.init(net)
    for use in (False, True, False):
        before = snapshot(net)
        net, state, _ = rule.step(net, state, Batch(use, y))
        assert torch.equal(before["spare.weight"], snapshot(net)["spare.weight"]) is not use
        assert torch.equal(before["last.weight"], snapshot(net)["last.weight"]) is use


def test_what_is_frozen_is_held_apart():
    net = Net.of(Spare())
    assert list(net.params) == ["last.weight", "last.bias", "spare.weight", "spare.bias"]
    assert net.frozen == ["scale", "fixed.weight", "fixed.bias"]
    assert net.count() == 6 * 2 + 2 + 4 * 4 + 4
    assert set(net.tensors) == set(dict(net.module.named_parameters()))


@pytest.mark.parametrize(("rule", "spec"), [("perceptron", "linear"), ("closedform", "linear"), ("pocket", "linear")])
def test_a_rule_that_sets_a_whole_layer_refuses_a_frozen_part(rule, spec):
    module = registry.nets.choose(spec).make((3,), 1)
    next(module.parameters()).requires_grad_(False)
    net = Net.of(module)
    criterion = Supervised(registry.losses.choose("squared").make())
    one = make_rule(registry.rules.choose(rule), criterion, registry.optimizers.choose("sgd"), None)
    with pytest.raises(InputError, match=f"{rule} sets all weights of its net; .*weight of this .* is frozen"):
        one.step(net, one.init(net), Batch(torch.randn(4, 3), torch.ones(4)))
