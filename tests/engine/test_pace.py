"""What share of its stage every step is told: by the steps its feed has, by the clock, after a resume, in a stack, when it is repeated."""

from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from made_members import alone, assert_near, finished, member, run
from tiny import dense, part, running

from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend, factor_at, set_pace, unpaced
from chainrule.core.events import Evaluated
from chainrule.core.registry import schedules
from chainrule.engine import loop, seat
from chainrule.engine.plans.plan import Plan
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop


def descent(schedule):
    return Descend(partial(backprop, criterion=Supervised(cross_entropy())), sgd(rate=0.1), schedule=schedule)


def factors(spec, **given):
    """The factor of the rate at every step of a run, as the schedule gives it."""
    schedule, seen = schedules.choose(spec).make(), []

    def noted(share):
        seen.append(float(schedule(share.double())))
        return schedule(share)

    list(running(dense(), descent(noted), **given).run())
    return seen


# 29 rows in batches of 7: 29 mod 7 = 1, and the single row joins the batch before it, so an epoch has four steps, not five.
@pytest.mark.parametrize(("rows", "epochs", "steps"), [(29, 3, 12), (30, 3, 15), (28, 2, 8), (7, 1, 1), (8, 2, 2)])
@pytest.mark.parametrize("chunk", [1, 3])
def test_the_share_goes_from_0_at_the_first_step_to_1_at_the_last(rows, epochs, steps, chunk):
    seen = factors("linear:final=0.25", data=part(rows), epochs=epochs, under=Plan(threads=1, chunk=chunk))
    assert seen == pytest.approx([1 - 0.75 * i / max(steps - 1, 1) for i in range(steps)], abs=1e-6)


TABLES = {  # by hand, at the shares 0, 1/8, ..., 1
    "exponential:final=0.01": [10 ** (-2 * i / 8) for i in range(9)],
    "step:factor=0.1": [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01],
    "one-cycle:rise=0.5,start=0.2,final=0.1": [0.2, 0.3171573, 0.6, 0.8828427, 1, 0.8681981, 0.55, 0.2318019, 0.1],
    "warm-up:rise=0.5,start=0.2": [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1],
    "warm-up:rise=0.5,start=0.2,then=linear": [0.2, 0.4, 0.6, 0.8, 1, 0.75, 0.5, 0.25, 0],
    "polynomial:power=2,final=0": [(1 - i / 8) ** 2 for i in range(9)],
    "inverse:final=0.1": [1 / (1 + 9 * i / 8) for i in range(9)],
    "cosine:final=0.1": [1, 0.9657457, 0.8681981, 0.7222075, 0.55, 0.3777925, 0.2318019, 0.1342543, 0.1],
}


@pytest.mark.parametrize("spec", TABLES)
def test_tables_of_nine_steps(spec):
    assert factors(spec, epochs=None, steps=9) == pytest.approx(TABLES[spec], abs=1e-6)


@pytest.mark.parametrize(("epochs", "steps", "taken"), [(2, 1000, 10), (2, 7, 7), (None, 7, 7)])
def test_whichever_of_epochs_and_steps_ends_the_run_the_schedule_ends_with_it(epochs, steps, taken):
    seen = factors("linear:final=0.5", epochs=epochs, steps=steps)
    assert len(seen) == taken
    assert seen[-1] == 0.5


def test_steps_beyond_single_precision_are_told_apart():
    """2^24 + 1 is 2^24 in single precision."""
    net, pace = dense(), unpaced(dense())
    shares = []
    for done in (2.0**24, 2.0**24 + 1):
        set_pace({"pace": pace}, {"done": done, "each": 1.0, "whole": 2.0**25})
        factor_at(lambda share: shares.append(share) or share, pace, net)
        assert float(pace["done"]) == done + 1


def test_the_share_stays_within_0_and_1():
    pace = unpaced(dense())
    for done, share in ((-1.0, 0.0), (3.0, 1.0), (1.0, 0.5)):
        set_pace({"deep": {"pace": pace}}, {"done": done, "each": 1.0, "whole": 2.0})
        assert float(factor_at(lambda share: share, pace, dense())) == share


def told_time(monkeypatch, clock):
    """The engine reads its time from this."""
    for module in (loop, seat):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock))


def clocked(monkeypatch, schedule, seconds, each=1.0, begin=100.0):
    """A schedule under which every step takes `each` seconds by the engine's clock, and what it was told."""
    clock, seen = [begin], []
    told_time(monkeypatch, lambda: clock[0])

    def ticking(share):
        clock[0] += each
        seen.append(float(share))
        return schedule(share)

    return partial(running, epochs=None, seconds=seconds), ticking, seen


@pytest.mark.parametrize(("seconds", "each"), [(20.0, 1.0), (3.0, 0.25)])
def test_where_only_seconds_end_the_stage_the_clock_gives_the_share(monkeypatch, seconds, each):
    """One epoch is 5 steps: by its length the linear schedule would have been at -3 by step 20."""
    going, ticking, seen = clocked(monkeypatch, schedules.choose("linear").make(), seconds, each)
    events = list(going(dense(), descent(ticking)).run())
    steps = round(seconds / each)
    assert events[-1].steps == len(seen) == steps
    assert seen == pytest.approx([int(1000 * i / steps + 1e-9) / 1000 for i in range(steps)], abs=1e-6)


@pytest.mark.parametrize("plan", [Plan(threads=1), Plan(threads=1, chunk=3), Plan(threads=1, chunk=4, native=True)])
def test_a_run_by_the_clock_repeats_bit_for_bit_from_the_shares_it_recorded(monkeypatch, plan):
    """Under another clock, of which nothing is left but where it ended and the shares that it gave."""
    clock = [0.0]

    def ticking():
        clock[0] += 0.01
        return clock[0]

    told_time(monkeypatch, ticking)
    first = running(dense(), descent(schedules.choose("cosine").make()), epochs=None, seconds=4.0, under=plan)
    end = list(first.run())[-1]
    assert end.reason == "budget"
    assert len({share for _, _, share in end.shares}) > 5
    monkeypatch.undo()
    again = running(dense(), descent(schedules.choose("cosine").make()), epochs=None, under=plan, ends=tuple(end.stage_steps),
                    shares=tuple(map(tuple, end.shares)))
    assert list(again.run())[-1].steps == end.steps
    other = running(dense(), descent(schedules.choose("constant").make()), epochs=None, under=plan, ends=tuple(end.stage_steps))
    list(other.run())
    assert all(torch.equal(t, again.net.tensors[name]) for name, t in first.net.tensors.items())
    assert not torch.equal(first.net.params["0.weight"], other.net.params["0.weight"])


def test_by_the_clock_a_resumed_run_goes_on_from_the_share_it_had(tmp_path, monkeypatch):
    going, ticking, seen = clocked(monkeypatch, schedules.choose("linear").make(), 20.0)
    stop = Stop()

    def until(share):
        if len(seen) == 7:
            stop.request("SIGINT")
        return ticking(share)

    list(going(dense(), descent(until), store=Store(tmp_path, "r"), stop=stop).run())
    before = len(seen)
    going, ticking, after = clocked(monkeypatch, schedules.choose("linear").make(), 20.0, begin=5000.0)
    resumed = going(dense(), descent(ticking), store=Store(tmp_path, "r"))
    end = list(resumed.run())[-1]
    assert before == 8
    assert [*seen, *after] == pytest.approx([i / 20 for i in range(20)], abs=1e-3)
    assert [one[1] for one in end.shares] == list(range(20))


def test_a_program_in_c_and_steps_as_written_follow_the_same_schedule():
    nets = [dense(), dense()]
    for net, plan in zip(nets, (Plan(threads=1), Plan(native=True, chunk=5, threads=1)), strict=True):
        list(running(net, descent(schedules.choose("one-cycle").make()), data=part(29), under=plan, monitor=()).run())
    for name, t in nets[0].tensors.items():
        torch.testing.assert_close(nets[1].tensors[name], t, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("worth_a_trial", "together")
def test_members_of_a_stack_follow_each_its_own_stage():
    """Stages of 2, 4 and 3 epochs: the share of each member is of its own, and one that has ended holds no other up."""
    def several():
        return [member(seed=s, schedule=True, epochs=epochs, rows=29) for s, epochs in enumerate((2, 4, 3))]

    together, weights = run(several())
    apart, expected = alone(*several())
    assert [e.steps for e in finished(together)] == [e.steps for e in finished(apart)] == [8, 16, 12]
    assert_near(weights, expected)


def test_every_stage_has_its_share_of_its_own():
    seen = []

    def noted(share):
        seen.append(float(share))
        return torch.ones_like(share)

    stage = running(dense(), descent(noted), epochs=1).stages[0]
    planned = [{"stage": at, "since": 0, "made": asdict(Plan(threads=1))} for at in range(2)]
    training = running(dense(), descent(noted), stages=[stage, replace(stage, budget=replace(stage.budget, epochs=2))], made=planned)
    events = list(training.run())
    assert seen == pytest.approx([i / 4 for i in range(5)] + [i / 9 for i in range(10)], abs=1e-6)
    assert events[-1].stage_steps == [5, 10]
    assert [e.step for e in events if isinstance(e, Evaluated)] == [5, 10, 15]
