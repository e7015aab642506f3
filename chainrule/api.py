"""The Python interface: load, train, events, resume, repeat, compare; the command line calls nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule import runs
from chainrule.core.errors import ChainruleError, Diverged, InputError, Interrupted
from chainrule.core.events import Diagnosed, Event, Finished, Planned, Started, Warned
from chainrule.data.source import Source
from chainrule.engine.lock import RunLock
from chainrule.engine.store import Store
from chainrule.engine.train import Stop
from chainrule.job import Job, LossLike, build
from chainrule.options import Options
from chainrule.run import Run, describe_data
from chainrule.sinks.runlog import RunLog

Sink = Callable[[Event], None]


def load(what: Any = "digits", *, target: str | int | None = None, data_dir: str | Path | None = None, group: str | None = None,
         time: str | None = None) -> Source:
    """Data by name, path, arrays or frame, unsplit. Raises InputError that says what is missing or wrong."""
    from chainrule import data

    return data.load(what, target=target, data_dir=data_dir, group=group, time=time)


def train(data: Any = "digits", *, net: str | nn.Module | None = None, loss: LossLike = None, weights: Tensor | None = None,
          out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None,
          data_dir: str | Path | None = None, **options: Any) -> Run:
    """Train on `data`, save a run folder, return the run with its best weights.

    `net` is a name or any `torch.nn.Module`, `loss` a name or any function of (outputs, targets). `options` are those of
    `chainrule train` (see `Options`). Raises InputError for what does not fit, Diverged when the loss stops being finite
    (the best weights are kept), Interrupted when `stop` was requested.
    """
    began = time.perf_counter()
    asked = _options(net, loss, options)
    source = as_source(data, asked, data_dir)
    job = build(source, asked, module=net if isinstance(net, nn.Module) else None, loss=loss, weights=weights)
    folder = runs.Folder.create(out, source.name, job.net_name.split(":")[0])
    record = runs.record_of(source, job.options, net=job.net_name, rule=job.rule_name, own_net=isinstance(net, nn.Module),
                            own_loss=callable(loss), own_weights=weights is not None, asked=asked)
    record["parameters"] = job.net.count()
    record["data"] |= describe_data(job)
    with RunLock(folder.path):
        folder.write_record(record)
        folder.write_encoder(job.data, record["run"])
        return _go(folder.path, job, time.perf_counter() - began, progress, sinks, stop)


def resume(path: str | Path | Run, *, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None) -> Run:
    """Go on with an interrupted run, to the same weights, bit for bit, that it would have had."""
    began = time.perf_counter()
    run = path if isinstance(path, Run) else Run(path)
    with RunLock(run.path):
        return _go(run.path, run.fresh_job(), time.perf_counter() - began, progress, sinks, stop)


def repeat(path: str | Path | Run, *, progress: bool = True) -> tuple[bool, float]:
    """Run it again from `run.json` alone, under its plan; whether the best weights are the same bits, and the largest difference.

    Raises InputError where the run did not end by itself: there is nothing to compare with yet.
    """
    run = path if isinstance(path, Run) else Run(path)
    ended = next((e for e in reversed(run.events) if isinstance(e, Finished)), None)
    if ended is None or ended.reason not in ("budget", "patience"):
        raise InputError(f"{run.path} has not finished. Finish it with chainrule resume {run.path}, then repeat it.")
    again = run.fresh_job()
    again.options = replace(again.options, seconds=None, steps=ended.steps if run.options.seconds else run.options.steps)
    sinks: list[Sink] = _sinks(progress, ())
    _tell(_started(again, "", at=0, resumed=False), sinks)
    for event in again.events(made=run.record["plan"], at=1):
        _tell(event, sinks)
    _close(sinks)
    pairs = [(run.job.net.tensors[name].detach(), t.detach()) for name, t in again.net.tensors.items()]
    difference = max((float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()), default=0.0)
    return all(torch.equal(a, b) for a, b in pairs), difference


def events(data: Any = "digits", *, net: str | nn.Module | None = None, loss: LossLike = None, weights: Tensor | None = None,
           data_dir: str | Path | None = None, stop: Stop | None = None, **options: Any) -> Iterator[Event]:
    """The same training as a stream, with no folder; a module given as `net` holds the best weights when it ends."""
    asked = _options(net, loss, options)
    module = net if isinstance(net, nn.Module) else None
    job = build(as_source(data, asked, data_dir), asked, module=module, loss=loss, weights=weights)
    yield _started(job, "", at=0, resumed=False)
    yield from job.events(stop=stop, at=1)


def as_source(data: Any, options: Options, data_dir: str | Path | None = None) -> Source:
    if isinstance(data, Source):
        return data
    return load(data, target=options.target, data_dir=data_dir, group=options.group, time=options.time)


def _go(path: Path, job: Job, reading: float, progress: bool, sinks: Iterable[Sink], stop: Stop | None) -> Run:
    """Train `job` in the locked folder `path`, from its last checkpoint where there is one."""
    folder = runs.Folder(path)
    record = folder.read_record()
    store = Store(path, record["run"])
    at = store.events_before()
    log = RunLog.resume(path / runs.LOG, keep_before=at or 0)
    watching: list[Sink] = [log, *_sinks(progress, sinks)]
    finished: Finished | None = None
    fault = ""
    try:
        _tell(_started(job, str(path), at=at or 0, resumed=at is not None), watching)
        notes = [] if at is not None else list(job.data.encoder.notes)
        for number, note in enumerate(notes, 1):
            _tell(Warned(at=number, seconds=0.0, message=note), watching)
        for event in job.events(store, stop, at=(at or 0) + 1 + len(notes)):
            _tell(event, watching)
            if isinstance(event, Planned):
                record["plan"] = event.made
                folder.write_record(record)
            if isinstance(event, Diagnosed):
                fault = f"{event.layer}: {event.evidence}. {event.remedy[0].upper()}{event.remedy[1:]}."
            finished = event if isinstance(event, Finished) else finished
    finally:
        _close(watching)
    assert finished is not None
    timing = finished.timing
    total = reading + timing["training"] + timing["compiling"]
    folder.write_json(runs.SUMMARY, {"seconds": {"total": total, "reading": reading, **timing}})
    if finished.reason == "diverged":
        raise Diverged(f"The loss stopped being finite; the last good weights are in {path}. {fault}")
    if not finished.saved:
        raise ChainruleError(f"Trained to step {finished.steps}, but the end could not be saved to {path}; the checkpoint before it is "
                             f"whole. Free some space and go on with: chainrule resume {path}")
    if finished.reason == "interrupted":
        raise Interrupted(f"Interrupted; everything is saved. Go on with: chainrule resume {path}", stop.requested if stop else "SIGINT")
    run = Run(path, job=job)
    job.data.door.log = run._opened
    return run


def _started(job: Job, path: str, *, at: int, resumed: bool) -> Started:
    told: Mapping[str, Any] = describe_data(job)
    return Started(at=at, seconds=0.0, run=path, net=job.net_name, rule=job.rule_name, parameters=job.net.count(),
                   data={"name": job.source.name, "n": len(job.source), **told},
                   settings={**job.options.to_json(), "chosen": job.said}, resumed=resumed)


def _sinks(progress: bool, more: Iterable[Sink]) -> list[Sink]:
    if not progress:
        return list(more)
    from chainrule.sinks.progress import Progress

    line: Sink = Progress()
    return [line, *more]


def _tell(event: Event, sinks: Iterable[Sink]) -> None:
    for sink in sinks:
        sink(event)


def _close(sinks: Iterable[Sink]) -> None:
    for sink in sinks:
        if hasattr(sink, "close"):
            sink.close()


def _options(net: str | nn.Module | None, loss: LossLike, options: dict[str, Any]) -> Options:
    """The keyword arguments as Options: names keep their spelling, unknown ones get the nearest offered."""
    if net is not None and not isinstance(net, str | nn.Module):
        raise InputError(f"net is a name or a torch.nn.Module; got {type(net).__name__}.")
    named = {"net": net if isinstance(net, str) else None, "loss": loss if isinstance(loss, str) else None}
    return Options.from_json({**options, **named})
