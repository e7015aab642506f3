"""Looking changes no bit of a training, whatever advances it; and it costs no more of the time than it may."""

from __future__ import annotations

import copy
import itertools
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from made_members import member
from tiny import convolutional, dense, descend, part, running
from torch import Tensor

from chainrule.core.events import Finished, Looked, Warned
from chainrule.core.looking import BEGINNING
from chainrule.core.stage import Budget, Stage
from chainrule.core.stage import part as part_of
from chainrule.core.tree import leaves
from chainrule.engine.looking import FREE_SECONDS, MOST, SHARE, Looking
from chainrule.engine.loop import Loop
from chainrule.engine.members.groups import Stack
from chainrule.engine.plans.plan import Plan
from chainrule.engine.position import Position
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.observe.observer import StepObserver


class Careless(StepObserver):
    """Looks as every observer does, and draws random numbers, and leaves its copy in ruins."""

    def look(self, learner, rule, batch, number):
        torch.rand(3), np.random.rand(2), random.random()
        return super().look(learner, rule, batch, number)


def everything(seat) -> list[Tensor]:
    """Copies of all that training has moved: weights and buffers, the rule's state, the random streams."""
    streams, _ = seat.randomness.state()
    return [t.detach().clone() for t in (*seat.net.tensors.values(), *leaves(seat.learner.state), *streams.values())]


def same(mine, theirs):
    return len(mine) == len(theirs) and all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def trained(make, **settings):
    seat = make(**settings)
    events = list(seat.run())
    return everything(seat), events


def noisy(**settings):
    """Dropout, batch normalisation, momentum and a schedule."""
    return running(dense(0.3, norm=True), descend(schedule=True), epochs=4, **settings)


def pictures(**settings):
    return running(convolutional(), descend(), data=part(30, (2, 6, 6)), epochs=3, **settings)


def in_stages(**settings):
    stages = [Stage(descend(), Budget(epochs=2)), Stage(descend(schedule=True), Budget(epochs=2), name="the whole")]
    return running(dense(0.3), descend(), stages=stages, **settings)


PLANS = {"one step a chunk": Plan(threads=1), "chunks": Plan(threads=1, chunk=3), "a long chunk": Plan(threads=1, chunk=50),
         "channels last": Plan(threads=1, chunk=4, channels_last=True)}
LOOKS = {"each step": 1, "each third": 3, "as the time allows": None}


@pytest.mark.parametrize("every", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("make", [noisy, pictures, in_stages], ids=lambda make: make.__name__)
def test_a_run_that_is_looked_at_is_to_the_bit_the_run_that_is_not(make, plan, every):
    without, told = trained(make, under=plan)
    within, events = trained(make, under=plan, observer=Careless("backprop"), look=every)
    assert not any(isinstance(e, Looked) for e in told)
    assert sum(isinstance(e, Looked) for e in events) >= (5 if every else 1)
    assert not any(isinstance(e, Warned) for e in events)
    assert same(without, within)
    assert [e.at for e in events] == list(range(len(events)))


def test_an_observer_that_does_touch_the_net_is_found():
    class Touching(StepObserver):
        def look(self, learner, rule, batch, number):
            with torch.no_grad():
                next(iter(learner.net.params.values())).add_(1e-6)
            return {}

    assert not same(trained(noisy)[0], trained(noisy, observer=Touching("backprop"), look=1)[0])


def test_fused_steps_stay_in_their_groups(monkeypatch):
    """Groups of three begin at multiples of three; what is left of a chunk goes alone, as it would without looks."""
    sizes: list[int] = []

    def built(plan, rule, learner, few, written=None):
        def advance(learner, batches):
            sizes.append(len(batches))
            return one_by_one(learner, batches)

        one_by_one = build(Plan(threads=1), rule, learner, few)
        return advance

    build = Plan.build
    monkeypatch.setattr(Plan, "build", built)
    plan = Plan(threads=1, fused=3, chunk=6)
    events = list(running(dense(), descend(), data=part(91), epochs=2, under=plan, observer=StepObserver("backprop"), look=2).run())
    assert [e.step for e in events if isinstance(e, Looked)][:4] == [0, 3, 6, 9]
    assert sizes[:5] == [3, 3, 3, 3, 1]


def test_a_run_that_is_resumed_looks_on_where_it_was_and_ends_at_the_same_bits(tmp_path):
    whole = running(dense(0.3, norm=True), descend(schedule=True), epochs=6, observer=StepObserver("backprop"), look=4)
    steps = [e.step for e in whole.run() if isinstance(e, Looked)]
    stop, store = Stop(), Store(tmp_path, "r")
    first = running(dense(0.3, norm=True), descend(schedule=True), epochs=6, observer=StepObserver("backprop"), look=4, store=store,
                    stop=stop)
    seen = []
    for event in first.run():
        if isinstance(event, Looked):
            seen.append(event)
            if len(seen) == 3:
                stop.request("SIGINT")
    second = running(dense(0.3, norm=True), descend(schedule=True), epochs=6, observer=StepObserver("backprop"), look=4, store=store)
    seen += [e for e in second.run() if isinstance(e, Looked)]
    assert [e.step for e in seen] == steps
    assert [e.number for e in seen] == list(range(len(steps)))
    assert same([*whole.net.tensors.values()], [*second.net.tensors.values()])
    bare = running(dense(0.3, norm=True), descend(schedule=True), epochs=6)
    list(bare.run())
    assert same([*bare.net.tensors.values()], [*second.net.tensors.values()])


@pytest.mark.parametrize("every", LOOKS.values(), ids=LOOKS)
def test_members_side_by_side_are_looked_at_and_learn_to_the_bit_what_they_would(every):
    def learned(settings):
        members = [member(seed=s, epochs=e, settings=dict(settings)) for s, e in enumerate((2, 3, 3))]
        group = Stack(members, [], "3 together")
        events = [(seat, event) for seat, event in Loop(group).run()]
        return [everything(m.seat) for m in members], [[e for of, e in events if of is m.seat] for m in members]

    without, _ = learned({})
    within, told = learned({"observer": Careless("backprop"), "look": every})
    assert all(same(mine, theirs) for mine, theirs in zip(without, within, strict=True))
    for mine in told:
        assert sum(isinstance(e, Looked) for e in mine) >= (4 if every else 1)
        assert [e.at for e in mine] == list(range(len(mine)))
        assert isinstance(mine[-1], Finished)
    weights = [next(e for e in mine if isinstance(e, Looked) and e.step == 3).looks["weight"] for mine in told]
    assert weights[0] != weights[1] != weights[2]


def test_a_look_at_step_s_sees_the_weights_after_s_steps():
    norms = {}
    for steps in (1, 2, 3):
        seat = running(dense(), descend(), epochs=None, steps=steps, validate=lambda _: {})
        list(seat.run())
        norms[steps] = float(seat.net.params["0.weight"].detach().norm())
    seat = running(dense(), descend(), epochs=None, steps=5, observer=StepObserver("backprop"), look=1)
    seen = {e.step: e.looks["weight"][0] for e in seat.run() if isinstance(e, Looked)}
    assert {step: seen[step] for step in norms} == pytest.approx(norms, rel=1e-5)


def test_a_look_that_fails_is_told_once_and_ends_nothing():
    class Broken(StepObserver):
        def look(self, learner, rule, batch, number):
            raise RuntimeError("no such thing")

    weights, events = trained(noisy, observer=Broken("backprop"), look=1)
    said = [e.message for e in events if isinstance(e, Warned)]
    assert said == ["Looking at the training has ended (RuntimeError: no such thing); the training goes on."]
    assert same(weights, trained(noisy)[0])


def test_never_looks_never():
    _, events = trained(noisy, observer=StepObserver("backprop"), look=0)
    assert not any(isinstance(e, Looked) for e in events)


def course(steps: float, step_seconds: float, cost: float, beside: int = 1, every: int | None = None,
           until: int = 0) -> tuple[list[int], float]:
    """The steps of looks that cost so much each, of a stage of steps that take so long; and the share of time that they took."""
    looking, position, at = Looking(StepObserver(""), every), Position(), []
    for step in range(until or int(steps)):
        position.stage_step = step
        if looking.due(position):
            at.append(step)
            looking.took(position, cost, step * step_seconds, step_seconds, steps, beside)
    return at, position.looking * beside / ((until or steps) * step_seconds)


@pytest.mark.parametrize("step_seconds", [1e-4, 1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("cost", [0.5, 2.0, 20.0])
@pytest.mark.parametrize("beside", [1, 7])
@pytest.mark.parametrize("known", [True, False])
def test_looking_takes_a_fiftieth_of_the_time_or_half_a_second(step_seconds, cost, beside, known):
    """A look costs so many steps and the overhead of a millisecond."""
    cost = cost * step_seconds + 1e-3
    for steps in (300, 20_000):
        at, share = course(steps if known else math.inf, step_seconds, cost, beside, until=steps)
        spent = share * steps * step_seconds
        assert at[0] == 0
        assert spent <= max(SHARE * steps * step_seconds, FREE_SECONDS, cost * beside) + 1e-9


def test_the_beginning_is_seen_closely_and_later_looks_are_about_as_many_as_wanted():
    at, share = course(100_000, 1e-2, 5e-3)
    assert tuple(at[: len(BEGINNING)]) == BEGINNING
    assert MOST / 2 <= len(at) - len(BEGINNING) <= MOST
    assert share <= SHARE
    assert len({b - a for a, b in itertools.pairwise(at[25:])}) <= 3


@pytest.mark.parametrize("fifth", [5e-3, 0.4])
def test_a_training_of_a_second_is_seen_to_its_end(fifth):
    """Of 400 steps of 2.5 ms; the first look of its kind, as the fifth is, may take many times what others do."""
    costs = itertools.chain([5e-3] * 4, [fifth], itertools.repeat(5e-3))
    looking, position, at = Looking(StepObserver(""), None), Position(), []
    for step in range(400):
        position.stage_step = step
        if looking.due(position):
            at.append(step)
            looking.took(position, next(costs), step * 2.5e-3, 2.5e-3, 400, 1)
    assert position.looking <= FREE_SECONDS
    assert at[-1] >= 360
    assert len(at) >= 15


def test_a_second_stage_is_seen_to_its_end_too():
    looking, position, trained = Looking(StepObserver(""), None, stages=2), Position(), 0.0
    for stage in range(2):
        position.stage, position.stage_step, position.look_next, at = stage, 0, 0, []
        for step in range(5_000):
            position.stage_step = step
            if looking.due(position):
                at.append(step)
                looking.took(position, 5e-3, trained, 1e-3, 5_000, 1)
            trained += 1e-3
        assert at[-1] >= 4_500
    assert position.looking <= FREE_SECONDS


def test_curvature_imports_nothing_that_takes_longer_than_it():
    """`torch.autograd.grad` of vectors imports sympy, half a second: more than a short training may spend on looks."""
    code = ("import sys, chainrule; list(chainrule.events('xor', net='mlp:hidden=8', steps=50, plan='eager', look='every=1'))\n"
            "print('sympy' in sys.modules)")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == "False"


def test_every_so_many_steps_is_obeyed_whatever_it_costs():
    assert course(40, 1e-3, 1.0, every=7)[0] == [0, 7, 14, 21, 28, 35]


def test_a_stage_begins_anew():
    _, events = trained(in_stages, observer=StepObserver("backprop"), look=8)
    assert [e.step for e in events if isinstance(e, Looked)] == [0, 8, 10, 18]


def test_a_part_of_the_net_is_looked_at_under_its_own_names():
    stages = [Stage(descend(), Budget(epochs=2), view=part_of("0"))]
    net = dense()
    seat = running(net, descend(), stages=[Stage(copy.copy(descend()), Budget(epochs=1))], observer=StepObserver("backprop"), look=2)
    looks = [e.looks for e in seat.run() if isinstance(e, Looked)]
    assert looks[0]["layers"] == ["0", "3"]
    assert stages[0].view(net).params.keys() == {"weight", "bias"}
