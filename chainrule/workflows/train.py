"""Training into a run folder: train, events, resume, repeat."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from chainrule.audit.one_layer import before
from chainrule.core.errors import ChainruleError, CorruptFile, Diverged, InputError, Interrupted
from chainrule.core.events import Event, Finished, Sink, first_cause
from chainrule.core.options import check, read
from chainrule.core.text import resuming
from chainrule.data.load import paired
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source
from chainrule.engine.lock import RunLock
from chainrule.engine.seat import DIAGNOSED, ENDED
from chainrule.engine.stop import Stop
from chainrule.engine.train import train_seat
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.job.record import RECORD
from chainrule.runs.folder import LOG, Folder, asked_of
from chainrule.runs.recorder import Recording, close, lay_down, started, tell, watching
from chainrule.sinks.spinner import turning
from chainrule.workflows.doctor import ATTEMPTS, MEND, attended, described, ended_by, good, mended, mending
from chainrule.workflows.observed import observed
from chainrule.workflows.open import open_run
from chainrule.workflows.options import Dataset, Siblings
from chainrule.workflows.run import Run, run_of
from chainrule.workflows.seen_before import seen_before
from chainrule.workflows.selection import ignored, selected, sentence
from chainrule.workflows.session import Session, session_of
from chainrule.workflows.source import as_source, options_of, own_of
from chainrule.workflows.sweep import Sweep, check_free, sweep_over
from chainrule.workflows.verdict import judged


@overload
def train(data: Any = ..., y: Any = ..., *, members: None = None, **rest: Any) -> Run: ...
@overload
def train(data: Any = ..., y: Any = ..., *, members: int, **rest: Any) -> Sweep: ...


def train(data: Any = Dataset.data, y: Any = None, *, net: str | nn.Module | None = None, loss: LossLike = None,
          weights: Tensor | None = None,
          out: str | Path | None = None, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None,
          data_dir: str | Path | None = None, members: int | None = Siblings.members, log: str | None = None,
          **options: Any) -> Run | Sweep:
    """Train on `data`, save a run folder, return the run with its best weights.

    `data` is whatever `load` takes; `y`, where given, are the targets of inputs in memory: `train(X, y)`. `net` is a name or any
    `torch.nn.Module`, `loss` a name or any function of (outputs, targets). `options` are those of
    `chainrule train` (see `Options`). With `members`, so many nets of consecutive seeds are trained, a sweep. `log` is
    `tensorboard` where an event file is to be written too. Where `out` holds an unfinished run of the same data and options, it is gone on
    with. Raises InputError for what does not fit, Diverged when the loss stops being finite (the best weights are kept), Interrupted when
    `stop` was requested.

    >>> import chainrule as cr
    >>> run = cr.train("iris", net="mlp:hidden=8", epochs=3, seed=0, plan="eager", progress=False)
    >>> len(run.history), run.valid.n
    (3, 23)
    """
    began = time.perf_counter()
    asked, own = options_of(net, loss, options), own_of(net, loss, weights)
    session = session_of(out=out, data_dir=data_dir, progress=progress, sinks=sinks, stop=stop, log=log)
    siblings = read(Siblings, {"members": members})
    check(siblings)
    begun = _unfinished(session.out) if siblings.members is None else None
    if begun is None:
        check_free(session.out)
    else:
        _check_same(begun, asked)
    with turning("Reading", session.progress):
        source = as_source(paired(data, y), asked, session.data_dir)
    if begun is not None:
        if source.fingerprint != begun.record["data"]["fingerprint"]:
            raise InputError(f"{begun.path} holds an unfinished run on other data, {begun.record['data']['name']}. Use another --out, or "
                             f"{resuming(begun.path)}.")
        return resume_run(Run(begun.path, net=own.net, loss=own.loss, weights=own.weights, data=source), session)
    if siblings.members is not None:
        return sweep_over(source, asked, {"seed": range(asked.seed, asked.seed + siblings.members)}, own, session)
    reading = time.perf_counter()
    with turning("Preparing", session.progress):
        resolved, selection = selected(source, asked, own, session.stop, to_stderr if session.progress else ignored)
        choosing = time.perf_counter() - reading
        job = build(source, resolved, own)
    run = train_job(job, asked, own, session, began, selection, choosing)
    return _mended(run, source, resolved, own, session) if asked.doctor == MEND else run


def train_job(job: Job, asked: Options, own: Own, session: Session, began: float, selection: dict[str, Any] | None = None,
              choosing: float = 0.0, mends: dict[str, Any] | None = None) -> Run:
    """Train a job into a new run folder; reading began at `began`, by `time.perf_counter`. Raises what `train` does.

    `selection` is what its net was chosen among, which took `choosing` seconds; `mends` names the run that it goes on from or begins anew.
    """
    folder = Folder.create(session.out, job.source.name, job.net_name.split(":")[0])
    with RunLock(folder.path):
        lay_down(folder, attended(job), asked, own, selection, mends)
        with _recorded(folder.path, job, time.perf_counter() - began - choosing, session, choosing) as recording:
            for event in observed(job).events(recording.store, session.stop, at=recording.next_at, made=recording.record.get("plan")):
                recording.tell(event)
        return run_of(folder.path, job)


def _unfinished(out: Path | None) -> Run | None:
    """The run that a folder holds without its end; None where it holds none, or one that has diverged, which would do so again."""
    if out is None or not (out / RECORD).exists():
        return None
    try:
        run = Run(out)
        if run.folder.complete:
            return None
        last = run.events[-1:] if (out / LOG).exists() else []
    except CorruptFile:
        return None
    return None if any(isinstance(event, Finished) and event.reason == "diverged" for event in last) else run


def _check_same(begun: Run, asked: Options) -> None:
    """Raises InputError where other options are asked for than those that an unfinished run was begun with."""
    was, now = begun.record["asked"], asked_of(asked)
    other = [f"{name} was {was.get(name, 'left out')} and is {now.get(name, 'left out')}" for name in sorted({*was, *now})
             if was.get(name) != now.get(name)]
    if other:
        raise InputError(f"{begun.path} holds an unfinished run with other options: {', '.join(other)}. Use another --out, or "
                         f"{resuming(begun.path)}.")


def resume_run(run: Run, session: Session) -> Run:
    """Go on with one run, to the same weights, bit for bit, that it would have had. Raises what training raises."""
    began = time.perf_counter()
    with RunLock(run.path):
        job = attended(run.fresh_job())
        with _recorded(run.path, job, time.perf_counter() - began, session) as recording:
            for event in observed(job).events(recording.store, session.stop, at=recording.next_at, made=recording.record.get("plan")):
                recording.tell(event)
        return run_of(run.path, job)


def repeat(path: str | Path | Run, *, progress: bool = True) -> tuple[bool, float]:
    """Run it again from `run.json` alone, under its plan; whether the best weights are the same bits, and the largest difference.

    Snapshots are compared as well. Of a committee, all members are run again. Raises InputError where a run did not end by itself:
    there is nothing to compare with yet.

    >>> import chainrule as cr
    >>> cr.repeat(cr.train("iris", net="mlp:hidden=4", epochs=2, plan="eager", progress=False), progress=False)
    (True, 0.0)
    """
    repeated = [_again(run, progress) for run in (path if isinstance(path, Run) else open_run(path)).trainings]
    return all(same for same, _ in repeated), max(difference for _, difference in repeated)


def _again(run: Run, progress: bool) -> tuple[bool, float]:
    """Whether a run repeated has the same weights, and the largest difference."""
    ended = next((e for e in reversed(run.events) if isinstance(e, Finished)), None)
    if ended is None or ended.reason not in ENDED:
        raise InputError(f"{run.path} has not finished. Finish it with {resuming(run.path)}, then repeat it.")
    again = observed(run.fresh_job())
    again.options = replace(again.options, seconds=None)
    sinks: list[Sink] = watching(progress, ())
    tell(started(again, "", at=0, resumed=False), sinks)
    seat = again.seat(made=[{**one, "later": []} for one in run.record["plan"]], at=1, again=ended)
    for event in train_seat(seat):
        tell(event, sinks)
    close(sinks)
    nets = [(run.trained.net.tensors, again.net.tensors)]
    snapshots = run.snapshots if seat.snapshots else []
    nets += [(one.trained.net.tensors, weights) for one, weights in zip(snapshots, seat.snapshots.values(), strict=True)]
    pairs = [(first[name].detach(), t.detach()) for first, second in nets for name, t in second.items()]
    difference = max((float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()), default=0.0)
    return all(torch.equal(a, b) for a, b in pairs), difference


def events(data: Any = Dataset.data, y: Any = None, *, net: str | nn.Module | None = None, loss: LossLike = None,
           weights: Tensor | None = None,
           data_dir: str | Path | None = None, stop: Stop | None = None, **options: Any) -> Iterator[Event]:
    """The same training as a stream, with no folder; a module given as `net` holds the best weights when it ends.

    >>> import chainrule as cr
    >>> kinds = [type(event).__name__ for event in cr.events("iris", net="linear", epochs=2, plan="eager")]
    >>> kinds[0], kinds.count("Evaluated"), kinds[-1]
    ('Started', 2, 'Finished')
    """
    asked, own, session = options_of(net, loss, options), own_of(net, loss, weights), session_of(data_dir=data_dir, stop=stop)
    source = as_source(paired(data, y), asked, session.data_dir)
    job = attended(build(source, selected(source, asked, own, session.stop)[0], own))
    yield started(job, "", at=0, resumed=False)
    yield from observed(job).events(stop=session.stop, at=1)


def _mended(run: Run, source: Source, options: Options, own: Own, session: Session) -> Run:
    """The run, or the one that followed where its doctor ended it: trained with the remedy, from its best weights or anew."""
    begun = options.from_
    for number in range(1, ATTEMPTS + 1):
        cause = ended_by(run.events)
        if cause is None:
            return run
        began = time.perf_counter()
        options = mended(replace(options, from_=begun), cause, run.path, good(run.events))
        out = None if session.out is None else session.out.with_name(f"{session.out.name}-mended-{number}")
        mends = {"run": str(run.path), "code": cause.code, "cause": described(cause), "options": cause.options}
        run = train_job(build(source, options, own), options, own, replace(session, out=out), began, mends=mends)
    if (cause := ended_by(run.events)) is not None:
        raise ChainruleError(f"{ATTEMPTS} remedies have not helped; the last fault: {described(cause)}. The weights so far are in "
                             f"{run.path}.")
    return run


@contextmanager
def _recorded(path: Path, job: Job, reading: float, session: Session, choosing: float = 0.0) -> Iterator[Recording]:
    """The recording of a training in the locked folder `path`, from its last checkpoint where there is one.

    At the end raises what a run that did not end by itself says of itself.
    """
    record = Folder(path).read_record()
    notes = [*mending(record.get("mends")), *sentence(record.get("selection")), *before(job), *seen_before(job)]
    sinks = [*watching(session.progress, session.sinks), *session.logging(path)]
    recording = Recording(path, job, sinks, notes=notes, judge=partial(judged, job))
    try:
        recording.begin()
        yield recording
    except Interrupted as error:
        raise Interrupted(f"{error} Go on with: {resuming(path)}", error.signal) from None
    finally:
        recording.close()
    finished = recording.finish(reading, choosing)
    if finished.reason in (DIAGNOSED, "diverged") and job.options.doctor == MEND:
        return
    if finished.reason == DIAGNOSED and (cause := first_cause(recording.diagnoses)) is not None:
        raise ChainruleError(f"Ended by --doctor stop: {described(cause)}. The weights of the best epoch so far are in {path}.")
    if finished.reason == "diverged":
        raise Diverged(f"The loss stopped being finite; the last good weights are in {path}. {recording.fault}")
    if not finished.saved:
        raise ChainruleError(f"Trained to step {finished.steps}, but the end could not be saved to {path}; the checkpoint before it is "
                             f"whole. Free some space and go on with: {resuming(path)}")
    if finished.reason == "interrupted":
        signal = session.stop.requested if session.stop else "SIGINT"
        raise Interrupted(f"Interrupted; everything is saved. Go on with: {resuming(path)}", signal)
