"""Eager steps are taken once for all plans that are compared with them, and plans are timed in turns."""

import time
from dataclasses import replace

import pytest
import torch
from tiny import chunk, dense, descend, learner

from chainrule.core.descend import Descend
from chainrule.engine.plans import planner, reference, trial
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.reference import Reference
from chainrule.engine.plans.trial import Tally, Trial, in_turns


@pytest.fixture
def counted(monkeypatch):
    """How many steps are taken."""
    steps, real = [], Descend.step
    monkeypatch.setattr(Descend, "step", lambda *given: steps.append(1) or real(*given))
    return steps


def test_eager_steps_are_taken_once_for_all_plans(counted):
    """They were taken anew for each: for a deep net most of the planning."""
    rule = descend()
    one = Reference(rule, learner(dense(), rule), chunk(4), Plan(threads=1), 0)
    advance = Plan(threads=1).build(rule, copied(one.learner), one.chunk)
    first = one.after()
    assert Tally().rounds(one, Plan(threads=1), advance)
    once = len(counted)
    assert one.after() is first
    assert Tally().rounds(one, Plan(threads=1), advance)
    assert len(counted) - once == 4, "only the plan's own"


def test_learners_too_large_to_keep_are_followed_anew_to_the_same_end(monkeypatch):
    rule = descend()
    kept = Reference(rule, learner(dense(), rule), chunk(4), Plan(threads=1), 0)
    monkeypatch.setattr(reference, "MOST_BYTES", 0)
    anew = Reference(rule, learner(dense(), rule), chunk(4), Plan(threads=1), 0)
    for _ in range(2):
        for a, b in zip(kept.taken(1), anew.taken(1), strict=True):
            assert all(torch.equal(t, b.end.net.tensors[name]) for name, t in a.end.net.tensors.items())
            assert a.allowed == b.allowed
    assert anew._taken == {1: []}


def test_what_slows_the_machine_slows_both_of_a_turn(monkeypatch):
    """By turns a plan of half the time is twice as fast, whenever the machine was busy."""
    clock, busy = [0.0], iter([1, 1, 1, 20, 20, 3, 3, 1, 1, 50, 50, *[1] * 99])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.2)
    rule = descend()
    one = learner(dense(), rule)

    def taking(seconds):
        def advance(learner, batches):
            clock[0] += seconds * len(batches) * next(load)
            return learner, {}

        return Trial(Plan(), advance, seconds)

    load = iter([w for w in busy for _ in range(2)])
    before, after = in_turns(taking(2e-3), taking(1e-3), one, chunk(5), 0)
    assert (before, after) == (pytest.approx(2e-3), pytest.approx(1e-3))


def test_the_quicker_in_turns_is_taken_whatever_was_measured_alone(monkeypatch):
    """A candidate that was timed while the machine was busy does not lose by that."""
    monkeypatch.setattr(planner, "in_turns", lambda first, second, *_: (2e-3, 1e-3))
    monkeypatch.setattr(planner, "measure", lambda *given, **_: Trial(given[3], best.advance, 1.5e-3))
    rule = descend()
    against = Reference(rule, learner(dense(), rule), chunk(4), Plan(threads=1), 0)
    best = Trial(Plan(threads=1), Plan(threads=1).build(rule, copied(against.learner), against.chunk), 1e-3)
    candidate = replace(best.plan, channels_last=True)
    rejected: list[dict[str, str]] = []
    won = planner._compete(against, candidate, best, planner.Planning(100, 10), planner.Signature(), rejected, planner.Measured(), [])
    assert won.plan == candidate
    assert rejected == [{"plan": "eager", "reason": "slower: 2.0 ms a step against 1.0 ms a step"}]


def test_a_tensor_may_be_off_by_what_roundings_do_to_any_relative_to_what_it_moves():
    """A kink shows in some layers, by chance in others than those where eager's own draws cross theirs; but none by more than 1 %."""
    rule = descend()
    one = Reference(rule, learner(dense(), rule), chunk(1), Plan(threads=1), 0)
    moved, slack = {"a": 1.0, "b": 2.0, "noise": 1e-9, "frozen": 0.0}, {"a": 1e-6, "b": 1e-6, "noise": 1e-6, "frozen": 0.0}
    draws = [{"a": 1e-3, "b": 1e-5, "noise": 1e-9, "frozen": 0.0}, {"a": 1e-4, "b": 1e-5, "noise": 1e-9, "frozen": 0.0}]
    allowed, together = one._allowed(moved, slack, draws)
    times, most = reference.ROUNDINGS, reference.MOST_OF_ONE
    assert allowed == pytest.approx({"a": times * 1e-3, "b": times * 2e-3, "noise": 1e-6, "frozen": 0.0})
    assert together == pytest.approx(times * (1e-3**2 + 1e-5**2 + 1e-18) ** 0.5)
    allowed, _ = one._allowed(moved, slack, [{**draws[0], "a": 0.5}])
    assert allowed == pytest.approx({"a": times * 0.5, "b": 2 * most, "noise": 1e-6, "frozen": 0.0})
    allowed, together = one._allowed(moved, slack, [dict.fromkeys(moved, 0.0)])
    assert allowed == pytest.approx({"a": rule.tolerance, "b": 2 * rule.tolerance, "noise": 1e-6, "frozen": 0.0})
    assert together == pytest.approx(3**0.5 * 1e-6)
