"""Training into a run folder: train, events, resume, repeat."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from chainrule.audit.one_layer import before
from chainrule.core.errors import ChainruleError, Diverged, InputError, Interrupted
from chainrule.core.events import Event, Finished, Sink
from chainrule.engine.lock import RunLock
from chainrule.engine.stop import Stop
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.runs.folder import SWEEP, Folder
from chainrule.runs.recorder import Recording, close, lay_down, started, tell, watching
from chainrule.workflows.open import open_run
from chainrule.workflows.run import Run, run_of
from chainrule.workflows.source import as_source, options_of
from chainrule.workflows.sweep import Sweep, go_on, sweep


@overload
def train(data: Any = ..., *, members: None = None, **rest: Any) -> Run: ...
@overload
def train(data: Any = ..., *, members: int, **rest: Any) -> Sweep: ...


def train(data: Any = "digits", *, net: str | nn.Module | None = None, loss: LossLike = None, weights: Tensor | None = None,
          out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None,
          data_dir: str | Path | None = None, members: int | None = None, **options: Any) -> Run | Sweep:
    """Train on `data`, save a run folder, return the run with its best weights.

    `net` is a name or any `torch.nn.Module`, `loss` a name or any function of (outputs, targets). `options` are those of
    `chainrule train` (see `Options`). With `members`, so many nets of consecutive seeds are trained, a sweep. Raises InputError for
    what does not fit, Diverged when the loss stops being finite (the best weights are kept), Interrupted when `stop` was requested.
    """
    began = time.perf_counter()
    asked = options_of(net, loss, options)
    if members is not None:
        if members < 1:
            raise InputError(f"--members must be at least 1; got {members}. Leave it out to train one net.")
        return sweep(data, over={"seed": range(asked.seed, asked.seed + members)}, net=net, loss=loss, weights=weights, out=out,
                     progress=progress, sinks=sinks, stop=stop, data_dir=data_dir, **options)
    source = as_source(data, asked, data_dir)
    job = build(source, asked, module=net if isinstance(net, nn.Module) else None, loss=loss, weights=weights)
    folder = Folder.create(out, source.name, job.net_name.split(":")[0])
    with RunLock(folder.path):
        lay_down(folder, job, asked, own_net=isinstance(net, nn.Module), own_loss=callable(loss), own_weights=weights is not None)
        return _go(folder.path, job, time.perf_counter() - began, progress, sinks, stop)


def resume(path: str | Path | Run, *, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None) -> Any:
    """Go on with an interrupted run, to the same weights, bit for bit, that it would have had; or with all unfinished runs of a sweep.

    Returns the `Run`, or the `Sweep`.
    """
    began = time.perf_counter()
    if not isinstance(path, Run) and (Path(path) / SWEEP).exists():
        return go_on(Path(path), progress=progress, sinks=sinks, stop=stop)
    run = path if isinstance(path, Run) else Run(path)
    with RunLock(run.path):
        return _go(run.path, run.fresh_job(), time.perf_counter() - began, progress, sinks, stop)


def repeat(path: str | Path | Run, *, progress: bool = True) -> tuple[bool, float]:
    """Run it again from `run.json` alone, under its plan; whether the best weights are the same bits, and the largest difference.

    Snapshots are compared as well. Of a committee, all members are run again. Raises InputError where a run did not end by itself:
    there is nothing to compare with yet.
    """
    found = [_again(run, progress) for run in (path if isinstance(path, Run) else open_run(path)).trained]
    return all(same for same, _ in found), max(difference for _, difference in found)


def _again(run: Run, progress: bool) -> tuple[bool, float]:
    """Whether a run repeated has the same weights, and the largest difference."""
    ended = next((e for e in reversed(run.events) if isinstance(e, Finished)), None)
    if ended is None or ended.reason not in ("budget", "patience"):
        raise InputError(f"{run.path} has not finished. Finish it with chainrule resume {run.path}, then repeat it.")
    again = run.fresh_job()
    again.options = replace(again.options, seconds=None, steps=ended.steps if run.options.seconds else run.options.steps)
    sinks: list[Sink] = watching(progress, ())
    tell(started(again, "", at=0, resumed=False), sinks)
    training = again.training(made=[{**one, "later": []} for one in run.record["plan"]], at=1)
    for event in training.run():
        tell(event, sinks)
    close(sinks)
    nets = [(run.job.net.tensors, again.net.tensors)]
    nets += [(one.job.net.tensors, kept) for one, kept in zip(run.snapshots if training.kept else [], training.kept.values(), strict=True)]
    pairs = [(first[name].detach(), t.detach()) for first, second in nets for name, t in second.items()]
    difference = max((float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()), default=0.0)
    return all(torch.equal(a, b) for a, b in pairs), difference


def events(data: Any = "digits", *, net: str | nn.Module | None = None, loss: LossLike = None, weights: Tensor | None = None,
           data_dir: str | Path | None = None, stop: Stop | None = None, **options: Any) -> Iterator[Event]:
    """The same training as a stream, with no folder; a module given as `net` holds the best weights when it ends."""
    asked = options_of(net, loss, options)
    module = net if isinstance(net, nn.Module) else None
    job = build(as_source(data, asked, data_dir), asked, module=module, loss=loss, weights=weights)
    yield started(job, "", at=0, resumed=False)
    yield from job.events(stop=stop, at=1)


def _go(path: Path, job: Job, reading: float, progress: bool, sinks: Iterable[Sink], stop: Stop | None) -> Run:
    """Train `job` in the locked folder `path`, from its last checkpoint where there is one."""
    recording = Recording(path, job, watching(progress, sinks), notes=before(job))
    try:
        recording.begin()
        for event in job.events(recording.store, stop, at=recording.next_at, made=recording.record.get("plan")):
            recording.tell(event)
    except Interrupted as error:
        raise Interrupted(f"{error} Go on with: chainrule resume {path}", error.signal) from None
    finally:
        recording.close()
    finished = recording.finish(reading)
    if finished.reason == "diverged":
        raise Diverged(f"The loss stopped being finite; the last good weights are in {path}. {recording.fault}")
    if not finished.saved:
        raise ChainruleError(f"Trained to step {finished.steps}, but the end could not be saved to {path}; the checkpoint before it is "
                             f"whole. Free some space and go on with: chainrule resume {path}")
    if finished.reason == "interrupted":
        raise Interrupted(f"Interrupted; everything is saved. Go on with: chainrule resume {path}", stop.requested if stop else "SIGINT")
    return run_of(path, job)


