"""A sweep: many settings of one training, each an ordinary run in a folder of the sweep's, trained side by side."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

import torch
from torch import Tensor, nn

from chainrule.audit.one_layer import before
from chainrule.core.errors import ChainruleError, CorruptFile, Diverged, InputError, Interrupted
from chainrule.core.events import Diagnosed, Event, Finished, Planned, Sink
from chainrule.core.measure import headline, higher_is_better
from chainrule.core.registry import tasks
from chainrule.core.schema import relative
from chainrule.core.text import now, resuming, shown, table
from chainrule.data.load import paired
from chainrule.data.source import Source, validated
from chainrule.engine.lock import RunLock
from chainrule.engine.members.grouping import train_members
from chainrule.engine.members.groups import Member
from chainrule.engine.stop import Stop
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.job.record import RECORD
from chainrule.job.records import SweepRecord
from chainrule.runs.folder import SWEEP, Folder
from chainrule.runs.recorder import Recording, close, lay_down, tell
from chainrule.sinks.sweep_progress import Tally
from chainrule.tasks.task import Task
from chainrule.workflows.doctor import attended
from chainrule.workflows.grid import REPLICATES, Over, combinations
from chainrule.workflows.observed import observed
from chainrule.workflows.options import Dataset
from chainrule.workflows.run import Run, run_of
from chainrule.workflows.seen_before import seen_before
from chainrule.workflows.session import Session, session_of
from chainrule.workflows.source import as_source, options_of, own_of

FORMAT = 1
LONGEST_NAME = 100


class Sweep:
    """The runs of a sweep. `settings` is what each was given, in the order of `runs`."""

    def __init__(self, path: str | Path, runs_: Sequence[Run] | None = None):
        self.path = Path(path)
        record = read_record(self.path)
        self.settings: list[dict[str, str]] = [m["settings"] for m in record["members"]]
        self.runs = list(runs_) if runs_ else [Run(self.path / m["folder"]) for m in record["members"]]

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}: {len(self.runs)} runs over {', '.join(self.settings[0])})"

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    @property
    def best(self) -> Run:
        """The run whose best weights did best on its validation part."""
        return self.runs[self._order[0]]

    @cached_property
    def _ends(self) -> list[Finished | None]:
        return [next((e for e in reversed(run.events) if isinstance(e, Finished)), None) for run in self.runs]

    @property
    def _order(self) -> list[int]:
        """Best first; those that have no measure, or diverged, last, in their own order."""

        def score(i: int) -> tuple[bool, tuple[float, ...]]:
            end = self._ends[i]
            if end is None or not end.best or end.reason == "diverged":
                return True, ()
            names = cast(type[Task], tasks.find(self.runs[i].record["data"]["task"]).make).watch
            return False, tuple(-end.best[n] if higher_is_better(n) else end.best[n] for n in names if n in end.best)

        return sorted(range(len(self.runs)), key=score)

    def rows(self) -> list[dict[str, Any]]:
        """One for each run, best first: its settings, how it ended, and its best epoch with the validation measures there."""
        table_rows = []
        for i in self._order:
            run, end = self.runs[i], self._ends[i]
            planned = next((e for e in reversed(run.events) if isinstance(e, Planned)), None)
            table_rows.append({
                "run": str(run.path), "settings": self.settings[i], "ended": end.reason if end else "unfinished",
                "epochs": end.epochs if end else 0, "steps": end.steps if end else 0,
                "best": {"epoch": end.best_epoch, **end.best} if end else {},
                "valid": {"n": run.record["data"]["splits"]["valid"], **(end.best if end else {})},
                "plan": {"name": planned.name, "reason": planned.reason, "rejected": planned.rejected} if planned else {},
            })
        return table_rows

    def summary(self) -> dict[str, Any]:
        """The keys that `chainrule sweep --json` prints."""
        rows = self.rows()
        return {"sweep": str(self.path), "runs": rows, "best": rows[0], "spread": self.spread()}

    def spread(self) -> list[dict[str, Any]]:
        """Mean and standard deviation over repetitions: runs that differ in seed, fold or bootstrap sample alone."""
        alike: dict[tuple[tuple[str, str], ...], list[dict[str, float]]] = {}
        for setting, end in zip(self.settings, self._ends, strict=True):
            key = tuple((k, v) for k, v in setting.items() if k not in REPLICATES)
            if end is not None and end.best and end.reason != "diverged":
                alike.setdefault(key, []).append(end.best)
        return [{"settings": dict(key), "n": len(several),
                 "measures": {name: {"mean": mean(m[name] for m in several), "sd": stdev(m[name] for m in several)} for name in several[0]}}
                for key, several in alike.items() if len(several) > 1]

    def __str__(self) -> str:
        """What differs, the best epoch and the validation measures there, with the interval of the first; best first."""
        keys = list(self.settings[0])
        names = list(dict.fromkeys(name for end in self._ends if end for name in end.best))
        lines = [[*keys, "best epoch", *names, "95 % interval", "ended"]]
        for i in self._order:
            end = self._ends[i]
            measures = [shown(end.best[name]) if end and name in end.best else "-" for name in names]
            lines.append([*(self.settings[i][k] for k in keys), str(end.best_epoch) if end and end.best else "-", *measures,
                          self._interval(i), end.reason if end else "unfinished"])
        text = table(lines, left=tuple(range(len(keys))))
        for group in self.spread():
            of = ", ".join(f"{k}={v}" for k, v in group["settings"].items()) or "all"
            figures = ", ".join(f"{name} {shown(m['mean'])} ± {shown(m['sd'])}" for name, m in group["measures"].items())
            text.append(f"  {of}: {figures} (mean and standard deviation of {group['n']})")
        return "\n".join([f"{len(self.runs)} runs in {self.path}, best first", *text])

    def _interval(self, i: int) -> str:
        """The interval of the accuracy, or of the measure to remember, on the validation part."""
        end = self._ends[i]
        if end is None or not end.best or end.reason == "diverged":
            return ""
        result = self.runs[i].valid
        name = "accuracy" if "accuracy" in result.measures else headline(result.measures) or ""
        one = result.measures.get(name)
        return f"{name} {shown(one.low)} to {shown(one.high)}" if one and one.low is not None and one.high is not None else ""


def sweep_over(source: Source, asked: Options, over: Over, own: Own, session: Session) -> Sweep:
    """Make a run folder for every combination of settings, and train them all."""
    began = time.perf_counter()
    resolved: dict[Options, Options] = {}

    def resolve(options: Options) -> Options:
        key = replace(options, seed=0, fold=None, bootstrap=None)      # which repetition it is changes no name
        if key not in resolved:
            resolved[key] = _job(source, key, own).options
        return resolved[key]

    several = combinations(over, asked, resolve)
    jobs: list[Job] = []
    for _, options in several:
        jobs.append(_sharing(_job(source, options, own), jobs))
    for job in jobs:
        validated(job.data, "a sweep")
    names = _names([setting for setting, _ in several])
    folder = _create(session.out, source.name, jobs[0].net_name.split(":")[0])
    with RunLock(folder):
        record = {"format": FORMAT, "sweep": uuid.uuid4().hex[:12], "created": now(), "over": list(over),
                  "members": [{"folder": name, "settings": setting} for name, (setting, _) in zip(names, several, strict=True)]}
        for name, job, (_, options) in zip(names, jobs, several, strict=True):
            lay_down(_member(folder / name), job, options, own)
        Folder(folder).write_json(SWEEP, record)
        return _train(folder, [folder / name for name in names], jobs, (time.perf_counter() - began) / len(jobs), session)


def go_on(path: Path, session: Session) -> Sweep:
    """Go on with every unfinished run of a sweep, stacked as they were. Raises InputError where one needs what only memory held."""
    began = time.perf_counter()
    with RunLock(path):
        folders = [path / m["folder"] for m in read_record(path)["members"]]
        unfinished = [f for f in folders if not Folder(f).complete]
        jobs: list[Job] = []
        source: Source | None = None
        for f in unfinished:
            job = Run(f, data=source).fresh_job()
            source = job.source
            jobs.append(_sharing(job, jobs))
        if jobs:
            _train(path, unfinished, jobs, (time.perf_counter() - began) / len(jobs), session)
        return Sweep(path)


def read_record(path: Path) -> dict[str, Any]:
    """`sweep.json`. Raises InputError where there is none, or another version wrote it."""
    record = Folder(path).read_typed(SWEEP, SweepRecord, FORMAT)
    if record is None:
        raise InputError(f"There is no sweep in {path}. chainrule sweep makes one.")
    if not all(relative(one["folder"]) for one in record["members"]):
        raise CorruptFile(f"{path / SWEEP} names members that are no folders in {path}. Restore it from a copy, or sweep again.")
    if len({tuple(one["settings"]) for one in record["members"]}) > 1:
        raise CorruptFile(f"{path / SWEEP} names members that were given settings of other names. Restore it from a copy, or sweep again.")
    return record


def _job(source: Source, options: Options, own: Own) -> Job:
    return build(source, options, own.copied())


def _sharing(job: Job, others: Sequence[Job]) -> Job:
    """The job, reading the tensors of an earlier one where its own are the same: members that read the same rows hold them once."""
    mine = job.data
    for other in others:
        theirs = other.data
        tensors = [(getattr(part, name), getattr(twin, name)) for part, twin in ((mine.train, theirs.train), (mine.valid, theirs.valid))
                   for name in ("rows", "y", "weight", "x")]
        if all(_same(a, b) for a, b in tensors) and mine.encoder.to_state()[1] == theirs.encoder.to_state()[1]:
            job.data = replace(mine, train=theirs.train, valid=theirs.valid)
            return job
    return job


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def _train(path: Path, folders: Sequence[Path], jobs: Sequence[Job], reading: float, session: Session) -> Sweep:
    stop = session.stop or Stop()
    listeners: list[Callable[[int, Event], None]] = []
    if session.progress:
        listeners.append(Tally([f.name for f in folders]))
    ended: dict[int, Finished] = {}
    faults: list[str] = []
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(RunLock(folder))
        for each in listeners:
            locks.callback(each.close)  # type: ignore[attr-defined]
        locks.callback(close, session.sinks)
        jobs = [attended(job) for job in jobs]
        recordings = [Recording(folder, job, session.logging(folder), notes=[*before(job), *seen_before(job)])
                      for folder, job in zip(folders, jobs, strict=True)]
        for recording in recordings:
            locks.callback(recording.close)
        members = []
        for recording, job in zip(recordings, jobs, strict=True):
            common, numbers = job.kind()
            members.append(Member(observed(job).seat(recording.store, stop, recording.next_at), job.remaking(), numbers, common))
        begun: set[int] = set()
        for i, event in train_members(members):
            if i not in begun:
                begun.add(i)
                recordings[i].begin()
            recordings[i].tell(event)
            tell(event, session.sinks)
            for each in listeners:
                each(i, event)
            if isinstance(event, Diagnosed) and event.fatal:
                faults.append(f"{folders[i].name}: {recordings[i].fault}")
            if isinstance(event, Finished):
                ended[i] = event
        for i in ended:                                    # when all are trained: none waits for what another is measured by
            recordings[i].finish(reading)
    if any(not e.saved for e in ended.values()):
        raise ChainruleError(f"The end of a run could not be saved in {path}. Free some space and go on with: {resuming(path)}")
    if stop.requested:
        raise Interrupted(f"Interrupted; everything is saved. Go on with: {resuming(path)}", stop.requested)
    if ended and all(e.reason == "diverged" for e in ended.values()):
        raise Diverged(f"The loss of every run stopped being finite; the last good weights are in {path}. {faults[0]}")
    done = {recording.path: run_of(recording.path, recording.job) for recording in recordings}
    return Sweep(path, [done.get(path / m["folder"]) or Run(path / m["folder"]) for m in read_record(path)["members"]])


def _names(settings: Sequence[dict[str, str]]) -> list[str]:
    """A folder name for each setting, `rate=0.1,seed=2`, told apart by a number where characters that no folder bears were dropped."""
    names: list[str] = []
    for setting in settings:
        name = re.sub(r"[^A-Za-z0-9._=,+-]+", "_", ",".join(f"{k}={v}" for k, v in setting.items())).strip("._")[:LONGEST_NAME]
        number, unique = 2, name
        while unique in names:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return names


def _member(path: Path) -> Folder:
    """A new folder for one of a sweep. One that an attempt has left which was killed before its first step is made anew."""
    if (path / RECORD).exists() and not Folder(path).begun:
        shutil.rmtree(path)
    return Folder.create(path, "", "")


def check_free(out: Path | None) -> None:
    """Raises InputError where `out` is a file, or holds a sweep or a run already."""
    if out is not None and (out / SWEEP).exists():
        raise InputError(f"{out} already holds a sweep. Use another --out, or {resuming(out)}.")
    Folder.check_free(out)


def _create(out: Path | None, data: str, net: str) -> Path:
    """A new folder for a sweep: `out`, or `runs/<data>-<net>-sweep-<number>`."""
    check_free(out)
    return Folder.create(out, data, net, "sweep").path


def sweep(data: Any = Dataset.data, y: Any = None, *, over: Mapping[str, Sequence[Any] | str], net: str | nn.Module | None = None,
          loss: LossLike = None,
          weights: Tensor | None = None, out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (),
          stop: Stop | None = None, data_dir: str | Path | None = None, **options: Any) -> Sweep:
    """Train a net for every combination of the settings in `over`, side by side where that is faster; each is an ordinary run.

    `over={"optimizer.rate": (0.1, 0.3), "seed": range(5)}`: keys are options of `train`, options of its net, rule, optimizer or schedule
    (`net.hidden`, `l2`), `fold` (1 to k: k-fold validation) or `bootstrap`. The other arguments are those of `train`; `sinks` are given
    the events of all members. Raises InputError for a key or value that does not exist, Diverged where no member has stayed finite.

    >>> import chainrule as cr
    >>> runs = cr.sweep("iris", over={"seed": (0, 1)}, net="mlp:hidden=4", epochs=1, plan="eager", progress=False)
    >>> len(runs)
    2
    """
    asked, own = options_of(net, loss, options), own_of(net, loss, weights)
    session = session_of(out=out, data_dir=data_dir, progress=progress, sinks=sinks, stop=stop)
    check_free(session.out)
    return sweep_over(as_source(paired(data, y), asked, session.data_dir), asked, over, own, session)
