"""The Python interface: load, train, events, resume, repeat, sweep; the command line calls nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from chainrule import runs
from chainrule.core.errors import ChainruleError, Diverged, InputError, Interrupted
from chainrule.core.events import Event, Finished
from chainrule.data.source import Source
from chainrule.engine.lock import RunLock
from chainrule.engine.train import Stop
from chainrule.job import Job, LossLike, build
from chainrule.options import Options
from chainrule.recording import Recording, Sink, close, lay_down, started, tell, watching
from chainrule.run import Run
from chainrule.sweeps import Own, Sweep, go_on, sweep_over


def load(what: Any = "digits", *, target: str | int | None = None, data_dir: str | Path | None = None, group: str | None = None,
         time: str | None = None, weight: str | int | None = None, stream: bool | None = None) -> Source:
    """Data by name, path, arrays or frame, unsplit. Raises InputError that says what is missing or wrong.

    `target`, `group`, `time` and `weight` name columns of a table; `weight` holds how much each row counts in training.
    `stream` keeps the rows of a Parquet or NPY file or a folder of images on disk; left open, where they would fill a quarter of memory.
    """
    from chainrule import data

    return data.load(what, target=target, data_dir=data_dir, group=group, time=time, weight=weight, stream=stream)


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
    asked = _options(net, loss, options)
    if members is not None:
        if members < 1:
            raise InputError(f"--members must be at least 1; got {members}. Leave it out to train one net.")
        return sweep(data, over={"seed": range(asked.seed, asked.seed + members)}, net=net, loss=loss, weights=weights, out=out,
                     progress=progress, sinks=sinks, stop=stop, data_dir=data_dir, **options)
    source = as_source(data, asked, data_dir)
    job = build(source, asked, module=net if isinstance(net, nn.Module) else None, loss=loss, weights=weights)
    folder = runs.Folder.create(out, source.name, job.net_name.split(":")[0])
    with RunLock(folder.path):
        lay_down(folder, job, asked, own_net=isinstance(net, nn.Module), own_loss=callable(loss), own_weights=weights is not None)
        return _go(folder.path, job, time.perf_counter() - began, progress, sinks, stop)


def sweep(data: Any = "digits", *, over: Mapping[str, Sequence[Any] | str], net: str | nn.Module | None = None, loss: LossLike = None,
          weights: Tensor | None = None, out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (),
          stop: Stop | None = None, data_dir: str | Path | None = None, **options: Any) -> Sweep:
    """Train a net for every combination of the settings in `over`, side by side where that is faster; each is an ordinary run.

    `over={"optimizer.rate": (0.1, 0.3), "seed": range(5)}`: keys are options of `train`, options of its net, rule, optimizer or schedule
    (`net.hidden`, `l2`), `fold` (1 to k: k-fold validation) or `bootstrap`. The other arguments are those of `train`; `sinks` are given
    the events of all members. Raises InputError for a key or value that does not exist, Diverged where no member has stayed finite.
    """
    asked = _options(net, loss, options)
    own = Own(net if isinstance(net, nn.Module) else None, loss if callable(loss) else None, weights)
    return sweep_over(as_source(data, asked, data_dir), asked, over, own, out=out, progress=progress, sinks=sinks, stop=stop)


def resume(path: str | Path | Run, *, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None) -> Any:
    """Go on with an interrupted run, to the same weights, bit for bit, that it would have had; or with all unfinished runs of a sweep.

    Returns the `Run`, or the `Sweep`.
    """
    began = time.perf_counter()
    if not isinstance(path, Run) and (Path(path) / runs.SWEEP).exists():
        return go_on(Path(path), progress=progress, sinks=sinks, stop=stop)
    run = path if isinstance(path, Run) else Run(path)
    with RunLock(run.path):
        return _go(run.path, run.fresh_job(), time.perf_counter() - began, progress, sinks, stop)


def repeat(path: str | Path | Run, *, progress: bool = True) -> tuple[bool, float]:
    """Run it again from `run.json` alone, under its plan; whether the best weights are the same bits, and the largest difference.

    Snapshots are compared as well. Of a committee, all members are run again. Raises InputError where a run did not end by itself:
    there is nothing to compare with yet.
    """
    from chainrule.committees import open_run

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
    asked = _options(net, loss, options)
    module = net if isinstance(net, nn.Module) else None
    job = build(as_source(data, asked, data_dir), asked, module=module, loss=loss, weights=weights)
    yield started(job, "", at=0, resumed=False)
    yield from job.events(stop=stop, at=1)


def as_source(data: Any, options: Options, data_dir: str | Path | None = None) -> Source:
    if not isinstance(data, Source):
        return load(data, target=options.target, data_dir=data_dir, group=options.group, time=options.time, weight=options.weight)
    if options.weight is not None and data.origin.get("weight") != options.weight:
        raise InputError(f"expected data whose column '{options.weight}' is still to be taken out; got {data.name}, which is loaded "
                         f"already. Name it there: cr.load(..., weight='{options.weight}').")
    return data


def _go(path: Path, job: Job, reading: float, progress: bool, sinks: Iterable[Sink], stop: Stop | None) -> Run:
    """Train `job` in the locked folder `path`, from its last checkpoint where there is one."""
    recording = Recording(path, job, watching(progress, sinks))
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
    return recording.run()


def _options(net: str | nn.Module | None, loss: LossLike, options: dict[str, Any]) -> Options:
    """The keyword arguments as Options: names keep their spelling, unknown ones get the nearest offered."""
    if net is not None and not isinstance(net, str | nn.Module):
        raise InputError(f"net is a name or a torch.nn.Module; got {type(net).__name__}.")
    named = {"net": net if isinstance(net, str) else None, "loss": loss if isinstance(loss, str) else None}
    return Options.from_json({**options, **named})
