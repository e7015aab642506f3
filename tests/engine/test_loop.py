"""One loop for one net and for many: each thing happens in one place for both, and what the two loops of before did differently is one."""

import errno
import sys
from collections import defaultdict
from types import SimpleNamespace

import pytest
from made_members import alone, assert_near, member
from tiny import dense, descend, running

from chainrule.core.events import Evaluated, Finished, Planned, Saved, Warned
from chainrule.engine import loop as loop_module
from chainrule.engine import seat as seat_module
from chainrule.engine.group import Lone
from chainrule.engine.loop import Loop
from chainrule.engine.members.groups import Apart, Stack
from chainrule.engine.plans.eager import eager
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import Choice, Later
from chainrule.engine.seat import Seat
from chainrule.engine.store import Store


def several(folder=None, epochs=(3, 3, 3), **more):
    members = []
    for s, many in enumerate(epochs):
        if folder is not None:
            (folder / str(s)).mkdir(exist_ok=True)
        store = None if folder is None else Store(folder / str(s), str(s))
        members.append(member(seed=s, epochs=many, rate=0.05 * (s + 1), store=store, **more))
    return members


class Slowly(Apart):
    """Members beside one another by steps as they are written."""

    def choose(self):
        programs = [eager(m.seat.stage.rule.step) for m in self.members]

        def advance(learner, part):
            reports = []
            for i, (program, seat) in enumerate(zip(programs, self.seats, strict=True)):
                self.take(i)
                seat.learner, report = program(seat.learner, part(i))
                self.put(i)
                reports.append(report["loss"])
            return learner, {"loss": loop_module.torch.stack(reports, 1)}

        self.choice = self.plans.noted(Choice(Plan(threads=1), advance, 1e-3, "given"))


GROUPS = {
    "one net": lambda folder: Lone(several(folder)[0].seat),
    "stacked": lambda folder: Stack(several(folder), ["rate"], "3 together"),
    "beside one another": lambda folder: Slowly(several(folder), ["rate"], "3 beside one another"),
}


@pytest.mark.parametrize("make", GROUPS.values(), ids=GROUPS)
def test_one_net_and_many_are_validated_saved_stopped_and_paced_in_the_same_places(make, tmp_path, monkeypatch):
    places = defaultdict(set)

    def watched(owner, name):
        method = getattr(owner, name)

        def noting(*given, **named):
            place = sys._getframe(1)
            while place.f_code.co_name == "<listcomp>":
                place = place.f_back
            places[name].add(place.f_code.co_qualname)
            return method(*given, **named)

        monkeypatch.setattr(owner, name, noting)

    for name in ("evaluate", "save", "end", "pace", "count", "finish"):
        watched(Seat, name)
    group = make(tmp_path)
    seats, choose = group.seats, group.choose

    def chosen():
        choose()
        watched(group.choice, "advance")

    group.choose = chosen
    events = list(Loop(group).run())
    assert dict(places) == {"evaluate": {"Loop._look_up"}, "save": {"Loop._save"}, "end": {"Loop._look_up"}, "pace": {"Loop._set_pace"},
                            "count": {"Loop._count"}, "finish": {"Loop._end"}, "advance": {"Loop._advance"}}
    for seat in seats:
        mine = [event for of, event in events if of is seat]
        assert [e.at for e in mine] == list(range(len(mine)))
        assert [e.epoch for e in mine if isinstance(e, Evaluated)] == [1, 2, 3]
        assert [e.reason for e in mine if isinstance(e, Finished)] == ["budget"]
        assert any(isinstance(e, Saved) for e in mine)
    assert_near([dict(seats[-1].net.tensors)], alone(several()[len(seats) - 1])[1])


@pytest.mark.parametrize("make", GROUPS.values(), ids=GROUPS)
def test_a_disk_that_stays_full_is_told_once_and_does_not_stretch_the_pause(make, tmp_path, monkeypatch):
    """Saving has taken a tenth of a second each; every attempt fails, and the next is due as soon as it was."""
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    group = make(tmp_path)
    for seat in group.seats:
        seat.saving = 0.1
    seats, before = list(group.seats), sum(seat.saving for seat in group.seats)
    monkeypatch.setattr(Store, "save", full)
    events = list(Loop(group).run())
    assert [type(e) for _, e in events].count(Warned) == len(seats)
    assert not any(e.saved for _, e in events if isinstance(e, Finished))
    assert all(0.1 <= seat.saving <= before for seat in seats)


@pytest.mark.parametrize("seconds", range(51, 56))
def test_a_run_whose_seconds_are_over_is_validated_and_saved_as_ended(seconds, tmp_path, monkeypatch):
    """Every look at the clock takes a second, so the budget runs out between any two of them."""
    clock = iter(range(10**6))
    for module in (loop_module, seat_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    store = Store(tmp_path, "r")
    events = list(running(dense(), descend(), epochs=10_000, seconds=float(seconds), store=store).run())
    assert events[-1].reason == store.position().finished == "budget"
    assert [e for e in events if isinstance(e, Evaluated)][-1].step == events[-1].steps == store.position().step


def test_a_plan_that_a_stack_changes_to_is_noted_at_the_step_of_those_that_go_on(monkeypatch):
    """The first member has ended and keeps its place, since a smaller stack is not worth making; the change comes after."""
    changes = []

    def change_over(rule, learner, few, now, planning):
        changes.append(planning.steps_left)
        return Choice(Plan(threads=1), now.advance, 1e-9, "faster", later=[])

    monkeypatch.setattr("chainrule.engine.plans.timeline.change_over", change_over)
    monkeypatch.setattr(Stack, "without_ended", lambda self: self)
    members = several(epochs=(1, 4, 4))
    group = Stack(members, ["rate"], "3 together")
    group.enter()
    later = Later(Plan(channels_last=True), 0.0)
    group.under = Choice(Plan(threads=1), eager(group.rule.step), 1.0, "given", later=[later])
    monkeypatch.setattr(Stack, "enter", lambda self: None)
    due = group.change_due
    group.change_due = lambda: members[1].seat.position.stage_step == 7 and due()
    told = [(seat, event) for seat, event in Loop(group).run() if isinstance(event, Planned)]
    assert [event.since for seat, event in told if seat is members[1].seat] == [0, 7]
    assert [len(m.seat.position.plan) for m in members] == [1, 2, 2]
    assert all(m.seat.position.plan[-1]["since"] == 7 and m.seat.position.plan[-1]["together"] == 3 for m in members[1:])
    assert changes == [20 - 7]


def test_the_one_that_all_others_left_is_a_lone_one_whose_batches_may_be_split(monkeypatch):
    """Memory runs out when the others have gone: their group would have ended, one net goes on in parts."""
    members = several(epochs=(1, 3), momentum=0.0)
    for m in members:
        m.seat.stages[0].rule.additive = True
    group = Stack(members, ["rate"], "2 together")
    left = Lone.left.__func__

    def then_memory_runs_out(cls, seat, choice):
        lone = left(cls, seat, choice)

        def advance(learner, batches):
            raise MemoryError("DefaultCPUAllocator")

        lone.choice.advance = advance
        return lone

    monkeypatch.setattr(Lone, "left", classmethod(then_memory_runs_out))
    events = [event for seat, event in Loop(group).run() if seat is members[1].seat]
    assert ["Memory ran out" in e.message for e in events if isinstance(e, Warned)] == [True]
    assert events[-1].reason == "budget"
    assert members[1].seat.position.plan[-1]["made"]["parts"] == 2
    assert_near([dict(members[1].seat.net.tensors)], alone(several(epochs=(1, 3), momentum=0.0)[1])[1])


