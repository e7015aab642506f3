"""Members beside one another, each by the program of a lone net, learn what each learns alone."""

from __future__ import annotations

import shutil

import pytest
from made_members import VARIANTS, alone, assert_near, finished, member, run

from chainrule.core.errors import PlanRejected
from chainrule.core.events import Evaluated, Planned
from chainrule.engine.loop import Loop
from chainrule.engine.members import grouping as of_members
from chainrule.engine.members import groups as groups_module
from chainrule.engine.members.grouping import Grouping, train_members
from chainrule.engine.members.groups import Apart, Stack
from chainrule.engine.members.parallel import beside_name, tried
from chainrule.engine.members.stacked import Abreast, Together, stack
from chainrule.engine.plans.eager import eager
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import Choice, Later
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store

pytestmark = pytest.mark.usefixtures("worth_a_trial")


@pytest.fixture
def beside(monkeypatch):
    """All members beside one another, two at a time, each by steps as they are written: what a program in C does, done slowly."""

    def grouped(members, kin):
        rule = Together(members[kin.numbers[0]].make, [{n: members[i].numbers[n] for n in kin.lifted} for i in kin.numbers])
        probes = [of_members._probe(members[i]) for i in kin.numbers]
        feed = Abreast([members[i].seat.feed_for(0) for i in kin.numbers], apart=True)
        choice = tried(rule, stack(probes, rule), [members[i].seat.stages[0].rule for i in kin.numbers], feed, Plan(), 2, 0)
        return Grouping(len(kin.numbers), beside_name(len(kin.numbers), 2), [], choice, apart=True)

    monkeypatch.setattr(of_members, "grouped", grouped)


@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_members_beside_one_another_learn_what_each_learns_alone(variants, beside):
    told, weights = run([member(**v) for v in variants])
    apart, expected = alone(*(member(**v) for v in variants))
    assert_near(weights, expected)
    assert [e.steps for e in finished(told)] == [e.steps for e in finished(apart)]
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert planned.name == f"{len(variants)} beside one another, 2 at a time, eager"
    assert planned.made[-1]["apart"]


def test_beside_one_another_ends_diverges_and_goes_on(beside, tmp_path):
    def several(stop=None, stores=True):
        made = []
        for s, (rate, epochs, rows) in enumerate(((0.1, 5, 30), (3e38, 5, 31), (0.2, 2, 30), (0.05, 5, 31))):
            (tmp_path / str(s)).mkdir(exist_ok=True)
            store = Store(tmp_path / str(s), str(s)) if stores else None
            made.append(member(seed=s, rate=rate, epochs=epochs, rows=rows, store=store, stop=stop))
        return made

    stop = Stop()
    told = [[], [], [], []]
    for i, event in train_members(several(stop)):
        told[i].append(event)
        if i == 0 and isinstance(event, Evaluated) and event.epoch == 3:
            stop.request("SIGTERM")
    assert [e.reason for e in finished(told)] == ["interrupted", "diverged", "budget", "interrupted"]
    again, weights = run(several(Stop()))
    assert not any(isinstance(e, Planned) for e in again[0])
    apart, expected = alone(*several(stores=False))
    assert [e.reason for e in finished(again)] == [e.reason for e in finished(apart)]
    for i in (0, 2, 3):
        assert_near([weights[i]], [expected[i]])


def test_a_stack_changes_over_to_members_beside_one_another(monkeypatch):
    """Where nobody knew how long it would last, the program is made in mid-run; here it is steps as they are written."""
    made = []

    def quickly(*given):
        choice = tried(*given[:4], Plan(), *given[5:])
        made.append(given[4])
        choice.seconds_per_step = 0.0 if len(made) == 1 else 1.0
        return choice

    monkeypatch.setattr(groups_module, "tried", quickly)
    members = [member(seed=s, rate=0.05 * (s + 1), epochs=4) for s in range(3)]
    stacked = Stack(members, ["rate"], "3 together", threads=2)
    stacked.enter()
    later = Later(Plan(native=True), 0.0)
    stacked.under = Choice(Plan(threads=1, chunk=2), eager(stacked.rule.step), 1e3, "given", later=[later])
    loop = Loop(stacked)
    names = [e.name for seat, e in loop.run() if isinstance(e, Planned) and seat is members[0].seat]
    assert names == ["3 together, eager", "3 beside one another, 2 at a time, eager"]
    assert made == [later.plan]
    assert isinstance(loop.group, Apart)
    assert members[2].seat.position.plan[-1]["since"] == 2   # in mid-epoch, as one net changes over
    expected = alone(*(member(seed=s, rate=0.05 * (s + 1), epochs=4) for s in range(3)))[1]
    assert_near([dict(m.seat.net.tensors) for m in members], expected)


def test_a_program_that_disagrees_with_the_members_is_refused():
    members = [member(seed=s, rate=0.05 * (s + 1), momentum=0.0) for s in range(2)]
    rule = Together(members[0].make, [{"rate": m.numbers["rate"]} for m in members][::-1])
    probes = [of_members._probe(m) for m in members]
    feed = Abreast([m.seat.feed_for(0) for m in members], apart=True)
    with pytest.raises(PlanRejected, match="disagrees with a member alone"):
        tried(rule, stack(probes, rule), [m.seat.stages[0].rule for m in members], feed, Plan(), 2, 0)


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on this machine")
def test_native_programs_run_members_beside_one_another():
    several = [{"seed": s, "rate": 0.05 * (s + 1), "settings": {"plan": "native"}} for s in range(3)]
    told, weights = run([member(**v) for v in several])
    expected = alone(*(member(seed=s, rate=0.05 * (s + 1)) for s in range(3)))[1]
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert planned.made[-1]["made"]["native"]
    assert_near(weights, expected)
