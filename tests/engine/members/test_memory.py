"""Memory that runs out in a step of several nets: fewer of them take it at a time, and the numbers stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_members import VARIANTS, alone, assert_near, finished, member, run

from chainrule.core.events import Evaluated, Planned, Warned
from chainrule.engine.members import grouping as of_members
from chainrule.engine.members.grouping import Grouping, train_members
from chainrule.engine.members.parallel import Beside, beside_name, tried
from chainrule.engine.members.stacked import Abreast, Together, stack
from chainrule.engine.plans.microbatch import NO_ROOM, OutOfMemory
from chainrule.engine.plans.plan import Plan
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store

pytestmark = pytest.mark.usefixtures("worth_a_trial")


class Room:
    """How many members a step of a stack has room for, once it is `scarce`; and how many took each step together, in `sizes`."""

    def __init__(self, most, scarce):
        self.most, self.scarce, self.sizes = most, scarce, []


@pytest.fixture
def room_for(monkeypatch):
    """Lets memory run out where more than so many members take a step together, when tensors have moved already."""
    def narrowed(most, scarce=True):
        step, room = Together._step, Room(most, scarce)

        def limited(rule, net, state, batch):
            room.sizes.append(len(next(iter(net.tensors.values()))))
            report = step(rule, net, state, batch)
            if room.scarce and room.sizes[-1] > room.most:
                raise MemoryError("Unable to allocate 3 GiB")
            return report

        monkeypatch.setattr(Together, "_step", limited)
        return room

    return narrowed


def run_until_scarce(members, room, epoch=1):
    """As `run`, with memory that becomes scarce after so many epochs."""
    told = [[] for _ in members]
    for i, event in train_members(members):
        told[i].append(event)
        if isinstance(event, Evaluated) and event.epoch == epoch and not room.scarce:
            room.scarce = True
            room.sizes.clear()
    return told, [{k: t.detach().clone() for k, t in m.seat.net.tensors.items()} for m in members]


def steps_at_once(events):
    return [e.made[-1].get("at_once", 0) for e in events if isinstance(e, Planned)]


@pytest.mark.parametrize("scarce", [True, False], ids=["from the first trial on", "in mid-run"])
@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_fewer_members_at_a_time_learn_what_each_learns_alone(variants, scarce, together, room_for):
    room = room_for(1, scarce)
    told, weights = run_until_scarce([member(**v) for v in variants], room)
    apart, expected = alone(*(member(**v) for v in variants))
    assert_near(weights, expected)
    assert [e.steps for e in finished(told)] == [e.steps for e in finished(apart)]
    for mine, theirs in zip(told, apart, strict=True):
        ours, others = ([e.train["loss"] for e in events if isinstance(e, Evaluated)] for events in (mine, theirs))
        assert ours == pytest.approx(others, rel=1e-4)
    assert together or scarce, "numbers that no trial has room to show that a stack can hold them go alone"
    assert not together or set(room.sizes[-4:]) == {1}


def test_it_is_halved_until_it_fits_and_each_halving_is_told_once(together, room_for):
    room = room_for(2, scarce=False)
    told, weights = run_until_scarce([member(seed=s) for s in range(5)], room)
    assert room.sizes[:5] == [5, 3, 2, 2, 1]
    assert steps_at_once(told[0]) == [0, 3, 2]
    messages = [e.message for e in told[4] if isinstance(e, Warned)]
    assert messages == [f"Memory ran out: from step 5 on {n} of the 5 nets that train together take a step at a time, which is the same "
                        "step." for n in (3, 2)]
    assert_near(weights, alone(*(member(seed=s) for s in range(5)))[1])


def test_what_was_halved_stays_so_when_members_end_and_when_they_go_on_from_checkpoints(together, room_for, tmp_path):
    """Bit for bit: a stack of other sizes would round otherwise."""
    def several(name, stop=None):
        made = []
        for seed, epochs in enumerate((2, 6, 6, 6)):
            (tmp_path / name / str(seed)).mkdir(parents=True, exist_ok=True)
            store = Store(tmp_path / name / str(seed), str(seed))
            made.append(member(seed=seed, epochs=epochs, store=store, stop=stop))
        return made

    room = room_for(2, scarce=False)
    _, whole = run_until_scarce(several("whole"), room)
    assert set(room.sizes[-6:]) == {1, 2}
    stop, room.scarce = Stop(), False
    for i, event in train_members(several("stopped", stop)):
        room.scarce = room.scarce or isinstance(event, Evaluated)
        if i == 3 and isinstance(event, Evaluated) and event.epoch == 4:
            stop.request("SIGTERM")
    room.sizes.clear()
    room.scarce = False
    told, weights = run(several("stopped", Stop()))
    assert set(room.sizes) == {1, 2}
    assert not any(isinstance(e, Warned) for e in told[3])
    assert all(torch.equal(mine[k], theirs[k]) for mine, theirs in zip(weights, whole, strict=True) for k in mine)


def test_where_not_even_one_fits_a_sentence_says_so(together, room_for):
    room_for(0)
    with pytest.raises(OutOfMemory, match=r"^Memory ran out, and not even one at a time do the nets .*smaller --batch or net\. "
                                          r"\(Unable to allocate 3 GiB\)$"):
        run([member(seed=s) for s in range(3)])


def test_members_whose_trial_memory_does_not_hold_go_in_turn(room_for, monkeypatch):
    room_for(1)
    told, weights = run([member(seed=s) for s in range(4)])
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert planned.reason.startswith("in turn")
    assert NO_ROOM in [r["reason"] for r in planned.rejected]
    assert_near(weights, alone(*(member(seed=s) for s in range(4)))[1])

    def probe(*_):
        raise MemoryError

    monkeypatch.setattr(of_members, "_stacks", probe)
    told, _ = run([member(seed=s) for s in range(4)])
    assert next(e for e in told[0] if isinstance(e, Planned)).reason.startswith(f"in turn: {NO_ROOM}")


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")
def test_members_beside_one_another_go_fewer_at_a_time(monkeypatch):
    def grouped(members, kin):
        rule = Together(members[kin.numbers[0]].make, [{n: members[i].numbers[n] for n in kin.lifted} for i in kin.numbers])
        probes = [of_members._probe(members[i]) for i in kin.numbers]
        feed = Abreast([members[i].seat.feed_for(0) for i in kin.numbers], apart=True)
        choice = tried(rule, stack(probes, rule), [members[i].seat.stages[0].rule for i in kin.numbers], feed, Plan(native=True), 2, 0)
        return Grouping(len(kin.numbers), beside_name(len(kin.numbers), 2), [], choice, apart=True)

    monkeypatch.setattr(of_members, "grouped", grouped)
    advance, calls, least = Beside.advance, [], [2]

    def limited(beside, learner, parts):
        calls.append(len(beside.programs))
        done = advance(beside, learner, parts)
        if len(calls) > 10 and len(beside.programs) >= least[0]:
            raise torch.OutOfMemoryError("out of memory")
        return done

    monkeypatch.setattr(Beside, "advance", limited)
    several = [{"seed": s, "settings": {"threads": 2}, "epochs": 8} for s in range(3)]
    told, weights = run([member(**v) for v in several])
    assert_near(weights, alone(*(member(**v) for v in several))[1])
    assert steps_at_once(told[0]) == [0, 1]
    assert calls[-1] == 1
    calls.clear()
    least[0] = 1
    with pytest.raises(OutOfMemory, match="not even one at a time"):
        run([member(**v) for v in several])


LIMITED = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from torch import nn
import chainrule as cr
from address_space import whole_and_split
from chainrule.engine.members import grouping

NETS, ROWS, MB = 6, 1500, 2**20
grouping.WORTH_STACKING_SECONDS = 0.0
grouping.grouped = lambda members, kin: grouping.Grouping(len(kin.numbers), "together", [])


def trained(batch, out):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4 * ROWS, 20)).astype(np.float32)
    events = []
    swept = cr.train((x, (x[:, 0] > x[:, 1]).astype(int)), net="mlp:hidden=1500", members=NETS, batch=batch, steps=4, look="off",
                     plan="eager", threads=1, split="train=.75,valid=.15,test=.1", split_seed=0, out=out, progress=False,
                     sinks=[events.append])
    weights = [{name: p.clone() for name, p in run.trained.net.params.items()} for run in swept.runs]
    at_once = [e.made[-1].get("at_once", 0) for e in events if type(e).__name__ == "Planned"]
    return weights, at_once, sorted({e.message for e in events if type(e).__name__ == "Warned"})


whole, split, needed = whole_and_split(trained, ROWS, Path(sys.argv[1]))
apart = max(float((one[name] - p).abs().max() / p.abs().max()) for one, net in zip(split[0], whole[0]) for name, p in net.items())
print(json.dumps({"needed": needed // MB, "whole": whole[1:], "split": split[1:], "apart": apart}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_under_a_real_limit_of_the_system_fewer_take_a_step_at_a_time(tmp_path):
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests" / "helpers"))), "OMP_NUM_THREADS": "1",
                   "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}      # what is freed goes back at once
    ended = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False, timeout=600,
                           env=environment)
    assert ended.returncode == 0, ended.stderr
    came = json.loads(ended.stdout.splitlines()[-1])
    assert came["needed"] > 100, "a step took little, so a limit tries nothing"
    (at_once, messages), (fewer, warned) = came["whole"], came["split"]
    assert (set(at_once), messages) == ({0}, [])
    assert max(fewer) in (1, 2, 3)
    assert all("Memory ran out" in message for message in warned)
    assert came["apart"] < 1e-4
