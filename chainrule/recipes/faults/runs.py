"""Running programs: each by `chainrule.train` in a process that runs one after the other, its outcome in a file of its own.

An outcome that is there already, of the same program, is taken from there: what was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chainrule.core.errors import ChainruleError, Diverged, InputError
from chainrule.core.events import Event
from chainrule.core.files import write_atomically
from chainrule.core.threads import torch_threads
from chainrule.engine import looking
from chainrule.evaluate.result import Result
from chainrule.recipes.faults.data import source
from chainrule.recipes.faults.history import History
from chainrule.recipes.faults.listed import PROGRAMS
from chainrule.recipes.faults.programs import CONSTANT, Program
from chainrule.workflows.train import train


@dataclass(frozen=True)
class Task:
    """One program and one seed, as it is or with options that a remedy printed in place of its own."""

    program: str
    seed: int
    remedy: tuple[tuple[str, str], ...] = ()

    @property
    def file(self) -> str:
        mark = hashlib.sha256(repr(self.remedy).encode()).hexdigest()[:8]
        return f"{self.program}-{self.seed}{f'-{mark}' if self.remedy else ''}.json"


@dataclass(frozen=True)
class Outcome:
    """How well it went, from 0 to 1, what was seen, and what stopped it where it did not train at all."""

    task: Task
    score: float
    history: History
    error: str = ""

    def record(self, program: Program) -> dict[str, Any]:
        return {"program": program.record(), "seed": self.task.seed, "remedy": [list(pair) for pair in self.task.remedy],
                "score": self.score, "error": self.error, "history": self.history.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        task = Task(record["program"]["name"], record["seed"], tuple((key, value) for key, value in record["remedy"]))
        return cls(task, record["score"], History.from_record(record["history"]), record["error"])


ALLOWED, LOOKS = 3600.0, 40        # seconds that looking may take, and looks wanted of a training


@contextmanager
def unhurried() -> Iterator[None]:
    """The usual schedule of looks, dense at the beginning, as if it cost nothing.

    These trainings last a second, in which the time that looking may take is soon spent; how many looks follow would depend on the machine.
    """
    before = looking.FREE_SECONDS, looking.MOST
    looking.FREE_SECONDS, looking.MOST = ALLOWED, LOOKS
    try:
        yield
    finally:
        looking.FREE_SECONDS, looking.MOST = before


@torch_threads(1)
def execute(task: Task) -> Outcome:
    """Train one program into a folder that is thrown away."""
    program = PROGRAMS[task.program]
    events: list[Event] = []
    error, result, tested = "", None, None
    torch.manual_seed(task.seed)
    options = {**program.all_options(), "seed": task.seed, **dict(task.remedy)}
    options = {key: _typed(key, value) for key, value in options.items()}
    module = program.net() if program.net is not None and "net" not in options else None
    with tempfile.TemporaryDirectory() as folder, unhurried():
        try:
            run = train(source(program.data), net=module or options.pop("net", None), loss=program.loss or options.pop("loss", None),
                        out=Path(folder) / "run", progress=False, sinks=[events.append], **options)
            if program.measure in ("balanced_accuracy", "honesty"):
                result = run.valid
                tested = run.test() if program.measure == "honesty" else None
        except Diverged:
            error = ""
        except (ChainruleError, RuntimeError, ValueError) as failure:   # a program that does not train is an outcome, and is told
            error = f"{type(failure).__name__}: {failure}"
    history = History.of(events)
    return Outcome(task, score(program.measure, history, result, tested), history, error)


def _typed(key: str, value: Any) -> Any:
    """An option that a remedy printed, as the number that it is."""
    if not isinstance(value, str) or key in ("net", "loss", "optimizer", "rule", "init", "schedule"):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def score(measure: str, history: History, result: Result | None = None, tested: Result | None = None) -> float:
    """How well a run ended, from 0 (no better than a constant answer, or it did not end) to 1.

    That is a share where the measure is one, and of costs the share of what a constant answer costs that is saved. It is that of the last
    evaluation, not of the best one: a fault is to be seen where training leads. `honesty` is 1 less what the validation part promised more
    than the test part gave; `balanced_accuracy` the mean over the classes of what share of each was recognised, from that of guessing on.
    """
    if history.ended == "diverged" or not history.evaluations:
        return 0.0
    if measure == "honesty":
        if result is None or tested is None or result.accuracy is None or tested.accuracy is None:
            return 0.0
        return 1.0 - max(0.0, result.accuracy - tested.accuracy)
    if measure == "balanced_accuracy":
        if result is None or result.confusion is None:
            return 0.0
        shares = [row[i] / max(sum(row), 1) for i, row in enumerate(result.confusion)]
        return max(0.0, (sum(shares) / len(shares) - 1 / len(shares)) / (1 - 1 / len(shares)))
    value = history.evaluations[-1][2].get(measure, math.nan)
    value = 1 - abs(value) / abs(CONSTANT[measure]) if measure in CONSTANT else value
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def outcomes(tasks: Iterable[Task], folder: Path, processes: int = 1, say: bool = True) -> dict[Task, Outcome]:
    """The outcome of every task, from `folder` where it is there, else run now and put there. Raises InputError for no process."""
    if processes < 1:
        raise InputError(f"--processes must be at least 1; got {processes}.")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(dict.fromkeys(tasks))
    known = {task: outcome for task in wanted if (outcome := _kept(folder, task)) is not None}
    left = [task for task in wanted if task not in known]
    began = time.perf_counter()
    for number, outcome in enumerate(_run(left, processes), 1):
        known[outcome.task] = outcome
        text = json.dumps(_finite(outcome.record(PROGRAMS[outcome.task.program])))
        write_atomically(folder / outcome.task.file, text.encode())
        if say:
            words = outcome.error or ", ".join(alarm.codes[0] + ("" if alarm.first else "'") for alarm in outcome.history.alarms)
            print(f"{number}/{len(left)} {outcome.task.program} {outcome.task.seed}{' remedied' if outcome.task.remedy else ''}: "
                  f"{outcome.score:.3f} {words[:150]} ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)
    return known


def _run(tasks: list[Task], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from map(execute, tasks)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(execute, task) for task in tasks]):
            yield future.result()


def _kept(folder: Path, task: Task) -> Outcome | None:
    try:
        record = json.loads((folder / task.file).read_text())
    except (OSError, ValueError):
        return None
    same = record["program"] == json.loads(json.dumps(PROGRAMS[task.program].record()))
    return Outcome.from_record(record) if same else None


def _finite(value: Any) -> Any:
    """JSON has no NaN: such numbers are words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
