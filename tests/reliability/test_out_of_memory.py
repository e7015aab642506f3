"""R13: memory that runs out at any operation of a step costs that step's parts, not the run: the batch is halved, the numbers stay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import descend, learner, part, running
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.core.descend import Descend
from chainrule.core.errors import ChainruleError
from chainrule.core.events import Finished, Planned, Warned
from chainrule.core.net import Net
from chainrule.engine.plans import microbatch, trial
from chainrule.engine.seat import Seat
from chainrule.optim.first_order import adam

PHASES = ("forward", "backward", "step")
POINTS = 10                   # of each phase
STEP, AFTER = 7, 20           # memory runs out in this step, and so many losses after it are compared
ERRORS = (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB"),
          RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"))


def net():
    torch.manual_seed(0)
    return Net.of(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)))


def rule():
    """Back-propagation whose batches may be split, followed by an optimizer with a state of its own."""
    return Descend(descend().direction, adam(rate=0.01), additive=True)


class Operations(TorchDispatchMode):
    """The phase of each operation that runs under it; the one numbered `at`, from 0, fails with `error`."""

    def __init__(self, at=None, error=None):
        super().__init__()
        self.at, self.error, self.phase, self.phases = at, error, "forward", []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.phases.append(self.phase)
        if len(self.phases) - 1 == self.at:
            raise self.error
        return func(*args, **(kwargs or {}))


class Watched(Descend):
    """The same rule, step number `number` of which, if it is not split, is taken under `operations`."""

    def __init__(self, inner, operations, number):
        super().__init__(inner.direction, inner.descent.optimizer, additive=True)
        self.operations, self.left = operations, number

    def step(self, net, state, batch):
        self.left -= 1
        if self.left:
            return super().step(net, state, batch)
        grad = torch.autograd.grad

        def backward(*given, **options):
            self.operations.phase = "backward"
            return grad(*given, **options)

        with pytest.MonkeyPatch.context() as patch, self.operations:
            patch.setattr(torch.autograd, "grad", backward)
            direction, report = self.direction(net, batch)
            self.operations.phase = "step"
            return self.follow(net, state, direction, report)


def losses_of(under, monkeypatch):
    """Net, events and the loss of each step of a run under a rule."""
    trained, losses, count = net(), [], Seat.count

    def counted(seat, came, rows):
        losses.extend(came.tolist())
        count(seat, came, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Seat, "count", counted)
        events = list(running(trained, under, epochs=None, steps=STEP + AFTER, batch=8, data=part(40)).run())
    return trained, events, losses


@pytest.fixture(scope="module")
def phases():
    """The phase of each operation of a step."""
    watched = Operations()
    one = learner(net(), rule())
    Watched(rule(), watched, 1).step(*one, next_batch())
    return watched.phases


def next_batch():
    return running(net(), rule(), batch=8, data=part(40)).feed_for(0).some(8)


@pytest.mark.parametrize("phase", PHASES)
def test_wherever_memory_runs_out_in_a_step_the_losses_stay(phase, phases, monkeypatch):
    whole, _, expected = losses_of(rule(), monkeypatch)
    places = [at for at, one in enumerate(phases) if one == phase]
    assert len(places) >= POINTS
    for point in range(POINTS):
        at = places[point * len(places) // POINTS]
        failing = Watched(rule(), Operations(at, ERRORS[point % len(ERRORS)]), STEP)
        trained, events, losses = losses_of(failing, monkeypatch)
        assert failing.operations.phases[-1] == phase
        messages = [e.message for e in events if isinstance(e, Warned)]
        assert len(messages) == 1, (point, messages)
        assert f"from step {STEP - 1} on each batch goes in 2 parts" in messages[0]
        assert [e.made[-1]["made"]["parts"] for e in events if isinstance(e, Planned)] == [2]
        assert isinstance(events[-1], Finished)
        assert events[-1].steps == len(losses) == STEP + AFTER
        torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-5, atol=1e-6)
        for name, p in whole.params.items():
            torch.testing.assert_close(trained.params[name], p, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("plan", ["auto", "eager"])
def test_memory_that_runs_out_while_the_plan_is_chosen_splits_the_batches_from_the_start(plan, monkeypatch):
    whole, _, _ = losses_of(rule(), monkeypatch)
    narrow = rule()
    direction = narrow.direction

    def at_most_two(net, batch):
        if len(batch) > 2:
            raise MemoryError
        return direction(net, batch)

    narrow.direction = at_most_two
    trained = net()
    events = list(running(trained, narrow, epochs=None, steps=STEP + AFTER, batch=8, data=part(40), plan=plan, threads=1).run())
    (planned,) = [e for e in events if isinstance(e, Planned)]
    assert planned.made[-1]["made"]["parts"] == 4
    assert not [e for e in events if isinstance(e, Warned)]
    for name, p in whole.params.items():
        torch.testing.assert_close(trained.params[name], p, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("plan", ["auto", "eager"])
def test_a_step_that_cannot_be_split_is_refused_with_the_reason_and_what_ran_out(plan):
    def never(net, batch):
        raise MemoryError("Unable to allocate 3 GiB")

    whole = Descend(never, adam(rate=0.01))
    with pytest.raises(ChainruleError, match=r"Memory ran out, and this rule's step is not a mean.*smaller --batch.*\(Unable to allocate"):
        list(running(net(), whole, batch=8, plan=plan, threads=1).run())
    with pytest.raises(ChainruleError, match=r"Memory ran out, and a batch in 4 parts does not fit either.*\(Unable to allocate"):
        list(running(net(), Descend(never, adam(rate=0.01), additive=True), batch=4, plan=plan, threads=1).run())


def test_a_program_whose_trial_memory_does_not_hold_is_not_taken_and_the_run_goes_on(monkeypatch):
    """Trials work on copies: what they lack, the training may have."""
    def compiled(*_):
        raise MemoryError("no room for a program")

    monkeypatch.setattr(trial, "check_traceable", lambda *_: None)
    monkeypatch.setattr(trial.Plan, "write", compiled)
    build = trial.Plan.build
    monkeypatch.setattr(trial.Plan, "build", lambda plan, *given: compiled() if plan.programmed else build(plan, *given))
    events = list(running(net(), rule(), epochs=30, batch=8, plan="native", threads=1).run())
    (planned,) = [e for e in events if isinstance(e, Planned)]
    assert planned.name == "eager"
    assert planned.rejected == [{"plan": "native", "reason": "memory does not hold its trial"}]
    assert isinstance(events[-1], Finished)


def test_nothing_of_an_attempt_stays_in_memory_while_the_next_is_made():
    """The error of the first holds the frames in which it was raised, and so whatever they had."""
    class Large:
        alive = 0

        def __init__(self):
            Large.alive += 1

        def __del__(self):
            Large.alive -= 1

    def attempt(parts):
        assert not Large.alive
        large = Large()
        if parts < 8:
            raise MemoryError
        return large

    assert microbatch.in_fewest_parts(attempt, 100) is not None


LIMITED = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from torch import nn
import chainrule as cr
from address_space import whole_and_split
from chainrule.core.events import Finished, Warned

ROWS, MB = 3000, 2**20


def trained(batch, out):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 6000), nn.Tanh(), nn.Linear(6000, 2))
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4 * ROWS, 20)).astype(np.float32)
    events = []
    cr.train((x, (x[:, 0] > x[:, 1]).astype(int)), net=net, batch=batch, steps=6, split="train=.75,valid=.15,test=.1", split_seed=0,
             optimizer="sgd:rate=0.01", plan="eager", threads=1, look="off", out=out, progress=False, sinks=[events.append])
    log = [e.train["loss"] for e in events if type(e).__name__ == "Evaluated"]
    parts = [e.made[-1]["made"]["parts"] for e in events if type(e).__name__ == "Planned"]
    return log, parts, [e.message for e in events if isinstance(e, Warned)], [e.steps for e in events if isinstance(e, Finished)]


whole, split, needed = whole_and_split(trained, ROWS, Path(sys.argv[1]))
print(json.dumps({"needed": needed // MB, "whole": whole, "split": split}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_real_limit_of_the_system_halves_the_batches_and_leaves_the_losses(tmp_path):
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False, timeout=600,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests" / "helpers"))),
                                "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"})
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["needed"] > 100, "a batch took little, so a limit tries nothing"
    (losses, parts, warned, steps), (split_losses, split_parts, _, split_steps) = told["whole"], told["split"]
    assert (parts, warned) == ([1], [])
    assert split_parts[-1] in (2, 4)
    assert steps == split_steps
    torch.testing.assert_close(torch.tensor(split_losses), torch.tensor(losses), rtol=1e-5, atol=1e-6)
