"""What programs cannot see is refused before one is made, or noticed while one runs: hooks, counters, generators, wrong numbers."""

import itertools
import math
import random
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from tiny import BUILD, chunk, convolutional, dense, descend, learner, part, running
from torch import nn

from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.errors import PlanRejected
from chainrule.core.events import Evaluated, Planned, Warned
from chainrule.core.loss import OwnLoss
from chainrule.core.net import Net
from chainrule.core.tree import clone
from chainrule.engine.native import compiling
from chainrule.engine.plans import trial, verification
from chainrule.engine.plans.eager import copied, eager
from chainrule.engine.plans.fidelity import Untraceable, check_traceable
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import Choice
from chainrule.engine.plans.reference import Reference
from chainrule.engine.plans.trial import Gaps, gaps
from chainrule.job.own_loss import custom
from chainrule.losses.classic import cross_entropy
from chainrule.nets.lenet import LeNet
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop

CALLS = {"so far": 0}


class Plainly(nn.Module):
    """Two layers, and whatever a subclass does beside."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 2)
        self.register_buffer("mean", torch.zeros(6))
        self.calls, self.numbers = 0, [0.5]
        self.draws, self.rows, self.ticks = random.Random(0), np.random.default_rng(0), itertools.count()

    def beside(self, hidden):
        return hidden

    def forward(self, x):
        return self.second(self.beside(torch.tanh(self.first(x))))


def beside(f):
    return type("Beside", (Plainly,), {"beside": f})


def counting(self, hidden):
    self.calls += 1
    return hidden if self.calls % 3 else hidden * 0


def listing(self, hidden):
    self.numbers[0] *= 0.99
    return hidden * self.numbers[0]


def globally(self, hidden):
    CALLS["so far"] += 1
    return hidden


def reassigning(self, hidden):
    self.mean = 0.9 * self.mean + 0.1 * hidden.mean(0).detach()
    return hidden - self.mean


def remembering(self, hidden):
    self.last = hidden.detach()
    return hidden


CHANGING = {
    "counter": (counting, "calls"), "list": (listing, "numbers"), "global": (globally, "so far"), "buffer": (reassigning, "mean"),
    "activation": (remembering, "last"),
    "python": (lambda self, h: h if random.random() < 2 else 0 * h, "Python's generator"),
    "numpy": (lambda self, h: h * float(np.random.rand()), "NumPy's generator"),
    "own python": (lambda self, h: h * self.draws.random(), "draws"), "own numpy": (lambda self, h: h * float(self.rows.random()), "rows"),
    "ticks": (lambda self, h: h if next(self.ticks) % 2 else 0 * h, "ticks"),
}


def checked(module, rule=None, shape=(3,)):
    net, rule = Net.of(module), rule or descend()
    check_traceable(rule, learner(net, rule), chunk(2, shape=shape), 0)


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_over_a_step_is_refused_and_named(name):
    f, where = CHANGING[name]
    module = beside(f)()
    before = (module.calls, list(module.numbers), module.draws.getstate(), random.getstate(), clone(dict(module.state_dict())))
    with pytest.raises(Untraceable, match=f"a step changes .*{where}"):
        checked(module)
    after = (module.calls, list(module.numbers), module.draws.getstate(), random.getstate())
    assert after == before[:-1]
    assert all(torch.equal(t, before[-1][key]) for key, t in module.state_dict().items())


def test_a_loss_that_counts_is_refused():
    calls = []

    def loss(outputs, y):
        calls.append(1)
        return nn.functional.cross_entropy(outputs, y, reduction="none")

    rule = Descend(partial(backprop, criterion=Supervised(custom(loss, OwnLoss(), True))), sgd())
    with pytest.raises(Untraceable, match="calls"):
        checked(Plainly(), rule)


def hook_on(kind):
    module = Plainly()
    match kind:
        case "gradient":
            module.first.weight.register_hook(lambda g: g * 0)
        case "after":
            module.first.weight.register_post_accumulate_grad_hook(lambda p: None)
        case "backward":
            module.first.register_full_backward_hook(lambda *_: None)
        case "forward":
            module.first.register_forward_hook(lambda *_: None)
        case "before":
            module.second.register_forward_pre_hook(lambda *_: None)
    return module


@pytest.mark.parametrize("kind", ["gradient", "after", "backward", "forward", "before"])
def test_hooks_are_refused(kind):
    with pytest.raises(Untraceable, match=r"a program calls no hooks.*(first|second)"):
        checked(hook_on(kind))


@pytest.mark.parametrize(("module", "shape"), [
    (dense(0.3, norm=True).module, (3,)), (convolutional().module, (2, 6, 6)), (Plainly(), (3,)),
    (LeNet((1, 12, 12), 2, filters=(4,), hidden=8, kernel=3), (1, 12, 12)),
    (nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.LSTM(2, 2, batch_first=True), type("Last", (nn.Module,), {
        "forward": lambda self, x: x[0][:, -1]})()), (3,))])
def test_what_only_moves_its_tensors_is_not(module, shape):
    checked(module.train(), shape=shape)


def test_each_tensor_is_compared_by_itself():
    """Second derivation on paper: a moves by 3 and is off by .03, b by 4 and is off by 0, c stays."""
    before = {"a": torch.tensor([0.0]), "b": torch.tensor([0.0]), "c": torch.tensor([7.0]), "n": torch.tensor([1])}
    there = {**before, "a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    found = gaps(before, there, {**there, "a": torch.tensor([3.03])})
    assert found.total == pytest.approx(0.03 / 5, rel=1e-4)
    assert found.worst == pytest.approx(0.01, rel=1e-2)
    assert "a" in found.where
    assert gaps(before, there, there) == Gaps(0.0, 0.0, "")
    assert gaps(before, there, {**there, "c": torch.tensor([7.0000005])}).worst == math.inf
    assert gaps(before, there, {**there, "n": torch.tensor([2])}).worst == math.inf
    assert gaps(before, there, {**there, "c": torch.tensor([math.nan])}).worst != 0


def zero_headed():
    """A frozen body under a head of zeros, whose own first gradient is all that the first steps show of the body."""
    net = dense()
    layers = [m for m in net.module if isinstance(m, nn.Linear)]
    with torch.no_grad():
        layers[1].weight.zero_()
    layers[0].requires_grad_(False)
    return Net.of(net.module)


def test_a_plan_that_moves_frozen_weights_by_little_is_refused(monkeypatch):
    """By a ten-thousandth of the update: less than the rule's tolerance, and seen at once in the tensor that was to stay."""
    def build(plan, rule, one, few, written=None):
        def wrong(one, batches):
            one, reports = eager(rule.step)(one, batches)
            with torch.no_grad():
                one.net.tensors["0.weight"].add_(1e-6)
            return one, reports

        return wrong if plan.channels_last else BUILD(plan, rule, one, few)

    monkeypatch.setattr(Plan, "build", build)
    rule = descend()
    with pytest.raises(PlanRejected, match=r"moving .*0\.weight"):
        trial.measure(rule, learner(zero_headed(), rule), chunk(5), Plan(channels_last=True), 0, agree_with=Plan())


@pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")
def test_a_native_program_is_compared_with_the_users_own_module(tmp_path, monkeypatch):
    """A penalty that names the net itself: in a copy, or a trace, it would be a constant."""
    monkeypatch.setattr(compiling, "usual_folder", lambda: tmp_path)
    net = dense()

    def loss(outputs, y):
        return nn.functional.cross_entropy(outputs, y, reduction="none") + net.module[0].weight.square().sum()

    rule = Descend(partial(backprop, criterion=Supervised(custom(loss, OwnLoss(), True))), sgd())
    one, before = learner(net, rule), clone(net.tensors)
    with pytest.raises(PlanRejected, match=r"disagrees with eager|changes"):
        trial.measure(rule, one, chunk(3), Plan(native=True, threads=1), 0, agree_with=Plan(threads=1))
    assert all(torch.equal(t, before[key]) for key, t in net.tensors.items())


@pytest.fixture
def programmed(monkeypatch):
    """Runs begin under a plan that counts as a program; what it does is `advance_of(rule)`, by default what eager does."""
    monkeypatch.setattr(verification, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(verification, "CHECK_SHARE", 1e9)
    ways = {"advance": lambda rule: eager(rule.step)}

    def build(plan, rule, one, few, written=None):
        return ways["advance"](rule) if plan.native else BUILD(plan, rule, one, few)

    def choose(rule, one, few, planning):
        plan = Plan(native=True, chunk=2, threads=1)
        return Choice(plan, plan.build(rule, one, few), 1e-3, "fastest")

    monkeypatch.setattr(Plan, "build", build)
    monkeypatch.setattr("chainrule.engine.plans.timeline.choose", choose)
    return ways


def falling():
    epochs = itertools.count()
    return lambda _: {"loss": -next(epochs)}


def test_a_program_found_wrong_is_dropped_from_where_it_was_last_right(programmed):
    """From its ninth step on the program loses momentum: the run's weights, history and plans are those of a run that had none of it."""
    steps = itertools.count()

    def wrong_later(rule):
        right, plain = eager(rule.step), eager(descend(momentum=0.0).step)

        def advance(one, batches):
            begun = next(steps)
            return (right if begun < 6 else lambda a, b: (plain(a, b)[0]._replace(state=a.state), plain(a, b)[1]))(one, batches)

        return advance

    programmed["advance"] = wrong_later
    net, alone = dense(), dense()
    events = list(running(net, descend(), epochs=6, plan="auto", validate=falling()).run())
    warned = [e.message for e in events if isinstance(e, Warned)]
    assert len(warned) == 1
    assert "was last right" in warned[0]
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.made[-1]["made"]["native"] for e in planned] == [True, False]
    list(running(alone, descend(), epochs=6, under=Plan(threads=1), validate=falling()).run())
    assert events[-1].steps == 30
    assert all(torch.allclose(t, net.params[name], rtol=1e-6, atol=1e-7) for name, t in alone.params.items())


def test_a_right_program_is_looked_at_and_kept(programmed):
    net, alone = dense(0.3, norm=True), dense(0.3, norm=True)
    events = list(running(net, descend(), epochs=4, plan="auto", validate=falling()).run())
    assert not any(isinstance(e, Warned) for e in events)
    list(running(alone, descend(), epochs=4, under=Plan(threads=1, chunk=2), validate=falling()).run())
    assert all(torch.equal(t, net.tensors[name]) for name, t in alone.tensors.items())


class Tempered(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
        self.temperature = 1.0

    def forward(self, x):
        return super().forward(x) / self.temperature


def test_an_attribute_that_a_sink_changes_is_heeded_from_the_next_chunk_on(programmed):
    """The program goes on with the old temperature; the run does not."""
    def frozen(rule):
        def advance(one, batches):
            now, one.net.module.temperature = one.net.module.temperature, 1.0
            try:
                return eager(rule.step)(one, batches)
            finally:
                one.net.module.temperature = now

        return advance

    programmed["advance"] = frozen
    weights = []
    for settings in ({"plan": "auto"}, {"under": Plan(threads=1)}):
        torch.manual_seed(0)
        net = Net.of(Tempered())
        for event in running(net, descend(), epochs=4, data=part(28), validate=falling(), **settings).run():
            if isinstance(event, Evaluated):
                net.module.temperature *= 0.5
        weights.append(clone(net.params))
    assert all(torch.allclose(a, weights[1][name], rtol=1e-6) for name, a in weights[0].items())


def test_the_same_standard_holds_for_low_precision(monkeypatch):
    """A plan that is off by a twentieth of the update is refused in bf16 as in any other, unless bf16 was asked for."""
    def build(plan, rule, one, few, written=None):
        def off(one, batches):
            before = clone(one.net.params)
            one, reports = eager(rule.step)(one, batches)
            with torch.no_grad():
                for name, p in one.net.params.items():
                    p.add_(p - before[name], alpha=0.05)
            return one, reports

        return off if plan.bf16 else BUILD(plan, rule, one, few)

    monkeypatch.setattr(Plan, "build", build)
    rule = Descend(partial(backprop, criterion=Supervised(cross_entropy())), sgd(), tolerance=2e-2)
    with pytest.raises(PlanRejected, match=r"by 5\..*allowed 2e-02"):
        trial.measure(rule, learner(dense(), rule), chunk(3), Plan(bf16=True), 0, agree_with=Plan())
    assert trial.measure(rule, learner(dense(), rule), chunk(3), Plan(bf16=True), 0, agree_with=Plan(), asked=True).plan.bf16


def going_too_far(rule, by):
    """Eager steps that go further by that share of each."""
    def advance(one, batches):
        before = clone(one.net.params)
        after, reports = eager(rule.step)(one, batches)
        with torch.no_grad():
            for name, t in after.net.params.items():
                t.add_(by * (t - before[name]))
        return after, reports

    return advance


@pytest.mark.parametrize(("wrong", "outcomes"), [((0, 3), [False, False, False, False, True]), ((0, 1, 3), [False, False, False, None])])
def test_most_of_five_steps_decide_where_chunks_are_of_one(wrong, outcomes):
    """One step in which a rounding crosses a kink says nothing: ResNet-20 was sent back to eager by one tensor of 130 in one step."""
    rule = descend()
    one, tally, verdicts = learner(dense(), rule), trial.Tally(verification.DECIDING_STEPS), []
    for i in range(len(outcomes)):
        advance = going_too_far(rule, 0.005 if i in wrong else 0.0)
        against = Reference(rule, one, chunk(1), Plan(threads=1), 0)
        try:
            verdicts.append(trial.compare(against, advance(copied(one), chunk(1))[0], Plan(native=True, threads=1), advance, False, tally))
        except PlanRejected:
            verdicts.append(None)
    assert verdicts == outcomes


def test_one_step_that_is_off_by_more_than_a_rounding_is_enough():
    rule = descend()
    one, advance = learner(dense(), rule), going_too_far(rule, 0.05)
    with pytest.raises(PlanRejected, match="disagrees with eager"):
        trial.compare(Reference(rule, one, chunk(1), Plan(threads=1), 0), advance(copied(one), chunk(1))[0], Plan(native=True, threads=1),
                      advance, False, trial.Tally(verification.DECIDING_STEPS))
