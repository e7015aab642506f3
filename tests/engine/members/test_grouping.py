"""Which members make a stack, and which grouping of them is taken."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from made_members import alone, assert_near, finished, make_rule, member, module, run
from tiny import part
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.events import Planned
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.stage import Budget, Stage
from chainrule.engine.members import grouping as of_members
from chainrule.engine.members.grouping import Grouping, Kin, kindred
from chainrule.engine.members.groups import Member
from chainrule.engine.members.stacked import draws
from chainrule.losses.classic import cross_entropy, squared
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop

pytestmark = pytest.mark.usefixtures("worth_a_trial")


def test_nets_of_other_shapes_and_other_kinds_make_other_stacks(together):
    members = [member(seed=0), member(seed=1), member(seed=0, hidden=9), member(seed=2, hidden=9), member(seed=0, batch=10),
               member(seed=0, momentum=0.0), member(net=nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.0), nn.Linear(6, 2)))]
    kin = kindred(members, range(len(members)))
    assert sorted(sorted(k.numbers) for k in kin) == [[0, 1], [2, 3], [4], [5], [6]]
    _, weights = run(members)
    assert all(len(w) == 4 for w in weights)
    assert_near(weights[3:4], alone(member(seed=2, hidden=9))[1])


def test_what_a_stack_cannot_hold_makes_a_stack_for_each_value(together):
    def make_with(branch):
        def make(numbers):
            power = numbers.get("power", branch)
            if power > 1.5:                                               # no transformation can branch on a tensor of members
                return Descend(partial(backprop, criterion=Supervised(cross_entropy())), sgd(rate=0.1))
            return Descend(partial(backprop, criterion=Supervised(cross_entropy())), sgd(rate=0.2))

        return make

    members = []
    for seed, power in enumerate((1.0, 2.0, 1.0, 2.0)):
        one = member(seed=seed)
        make = make_with(power)
        one.seat.stages[0] = Stage(make({}), Budget(epochs=2))
        members.append(Member(one.seat, make, {"power": power}))
    kin = kindred(members, range(4))
    assert [k.numbers for k in kin] == [[0, 2], [1, 3]]
    assert all(k.lifted == [] for k in kin)


def test_steps_that_draw_go_in_turn_and_say_so():
    told, weights = run([member(seed=s, dropout=0.5) for s in range(2)])
    planned = [next(e for e in events if isinstance(e, Planned)) for events in told]
    assert all("in turn: a step draws random numbers" in e.reason for e in planned)
    expected = alone(*(member(seed=s, dropout=0.5) for s in range(2)))[1]
    for mine, theirs in zip(weights, expected, strict=True):
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    make, _ = make_rule()
    for dropout, found in ((0.5, True), (0.0, False)):
        net = Net.of(module(0, dropout=dropout))
        assert draws(make({}), Learner(net, make({}).init(net)), Batch(part(5).x, part(5).y), 0) is found


def test_few_steps_are_not_worth_a_trial(monkeypatch):
    monkeypatch.setattr(of_members, "WORTH_STACKING_SECONDS", 1e6)
    told, _ = run([member(seed=s, epochs=1) for s in range(2)])
    assert "trying stacks would not pay" in next(e for e in told[0] if isinstance(e, Planned)).reason


@pytest.mark.parametrize("quickest", [1, 2, 4])
def test_the_fastest_grouping_is_taken_and_the_others_are_named(monkeypatch, quickest):
    """The clock of the trials is replaced: what is measured decides, not what this machine happens to do."""
    def seconds(advance, learner, batches, bound=0.0):
        size = len(next(iter(learner.net.params.values()))) if next(iter(learner.net.params.values())).dim() > 2 else 1
        return 1e-3 * size * (0.5 if size == quickest else 1.0)

    monkeypatch.setattr(of_members, "_seconds", seconds)
    told, weights = run([member(seed=s) for s in range(4)])
    planned = next(e for e in told[0] if isinstance(e, Planned))
    said = {1: "in turn", 2: "2 groups of 2", 4: "4 together"}
    assert (planned.name if quickest > 1 else planned.reason).startswith(said[quickest])
    assert {r["plan"] for r in planned.rejected} == set(said.values()) - {said[quickest]}
    assert all("slower" in r["reason"] for r in planned.rejected)
    assert_near(weights, alone(*(member(seed=s) for s in range(4)))[1])


def test_a_larger_stack_is_not_tried_where_it_cannot_win(monkeypatch):
    tried = []

    def seconds(advance, learner, batches, bound=0.0):
        weight = next(iter(learner.net.params.values()))
        tried.append(len(weight) if weight.dim() > 2 else 1)
        return 1e-3 if tried[-1] == 1 else 1.0

    monkeypatch.setattr(of_members, "_seconds", seconds)
    run([member(seed=s) for s in range(4)])
    assert tried == [1, 2]


def test_a_step_that_cannot_be_vectorised_goes_in_turn_with_the_reason():
    class Awkward(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)

        def forward(self, x):
            return self.line(x) * (2.0 if float(self.line.weight.detach().sum()) > 0 else 1.0)  # reads a number on the host

    told, _ = run([member(seed=s, net=Awkward()) for s in range(2)])
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert "failed" in planned.rejected[0]["reason"]
    assert finished(told)[1].reason == "budget"


def test_regression_nets_of_a_rule_without_momentum_share_one_feed(monkeypatch):
    """Members that read the same rows in the same order read them once."""
    gathered = []
    members = []
    data = part(20)
    for rate in (0.01, 0.02):
        one = member(seed=5, data=data, rate=rate, momentum=0.0)
        feed = one.seat.feed_for(0)
        chunks = feed.chunks
        feed.chunks = lambda *a, chunks=chunks, rate=rate: (gathered.append(rate), chunks(*a))[1]
        members.append(one)
    monkeypatch.setattr(of_members, "grouped", lambda members, kin: Grouping(2, "2 together", []))
    _, weights = run(members)
    while_training = gathered[-3:]
    assert set(while_training) == {0.01}
    assert_near(weights, alone(*(member(seed=5, data=data, rate=r, momentum=0.0) for r in (0.01, 0.02)))[1])
    assert squared().each is not None
    assert Kin([0]).why_alone == ""
