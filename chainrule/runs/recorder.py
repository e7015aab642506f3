"""A run folder while its job trains: the log, the record of its plan, who watches, and what is written at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Event, Finished, Judged, Planned, Saved, Sink, Started, Warned
from chainrule.engine.store import Store
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import NOTHING, Own
from chainrule.runs.folder import LOG, SUMMARY, Folder, describe_data, record_of
from chainrule.runs.validation import Validation
from chainrule.sinks import runlog
from chainrule.sinks.progress import Progress
from chainrule.sinks.runlog import RunLog

Judge = Callable[[Validation], dict[str, Any] | None]


class Recording:
    """The events of a job written to its folder, which the caller has locked, and handed to whoever watches.

    `notes` are sentences to be said before training; `next_at` numbers its first event; `fault` is what a diagnosis found.
    `judge` says what the best net answers to the validation part, when training has ended.
    """

    def __init__(self, path: Path, job: Job, sinks: Iterable[Sink] = (), notes: Iterable[str] = (),
                 judge: Judge | None = None):
        self.path, self.job, self.fault, self.judge = path, job, "", judge
        self.folder = Folder(path)
        self.record = self.folder.read_record()
        self.store = Store(path, self.record["run"])
        self.before = self.store.events_before()
        self.finished: Finished | None = None
        self.diagnoses: list[Diagnosed] = []
        self._validation: Validation | None = None
        started_from = [] if job.start is None else [job.start.sentence()]
        self.notes = [] if self.before is not None else [*started_from, *job.data.encoder.inputs.notes, *notes]
        self.next_at = (self.before or 0) + 1 + len(self.notes)
        self.log = RunLog.resume(path / LOG, keep_before=self.before or 0)
        self.sinks: list[Sink] = [self.log, *sinks]
        self._plan_due = self._warned = False
        if self.before is not None and job.doctor is not None:
            job.doctor.remember(runlog.read(path / LOG))

    def begin(self) -> None:
        tell(started(self.job, str(self.path), at=self.before or 0, resumed=self.before is not None), self.sinks)
        for number, note in enumerate(self.notes, 1):
            tell(Warned(at=number, seconds=0.0, message=note), self.sinks)

    def tell(self, event: Event) -> None:
        """Record an event; before the last one how the net was judged, and what the doctor says of that."""
        if isinstance(event, Finished):
            ending = self._ending(event)
            for one in ending:
                tell(one, self.sinks)
            simpler = {} if self._validation is None else _simpler(self._validation)
            event = replace(event, at=event.at + len(ending), simpler=simpler)
        tell(event, self.sinks)
        if isinstance(event, Diagnosed):
            self.diagnoses.append(event)
        if self.log.behind:
            self._warn(event, f"{self.log.path} cannot be written: {self.log.behind}.")
        if isinstance(event, Planned):
            self.record["plan"], self._plan_due = event.made, True
        if self._plan_due and isinstance(event, Planned | Saved | Finished):
            self._write_plan(event)
        if isinstance(event, Diagnosed) and event.fatal:
            self.fault = f"{event.layer}: {event.evidence}. {event.remedy[0].upper()}{event.remedy[1:]}."
        self.finished = event if isinstance(event, Finished) else self.finished

    def _ending(self, event: Finished) -> list[Event]:
        """What is known of the net once it is trained, numbered from the end on, which it comes before."""
        validation = self.validation_of(event) if self.judge is not None else None
        answers = None if validation is None or self.judge is None else self.judge(validation)
        if answers is None:
            return []
        judged = Judged(at=event.at, seconds=event.seconds, step=event.steps, answers=answers)
        sayings = self.job.doctor.consume(judged) if self.job.doctor is not None else []
        return [judged, *(Diagnosed(at=event.at + number, seconds=event.seconds, **one.fields()) for number, one in enumerate(sayings, 1))]
    def _write_plan(self, event: Event) -> None:
        """Write the plan into the record; on a full disk later, at the next save, or at the end, where nothing else is left."""
        try:
            self.folder.write_record(self.record)
            self._plan_due = False
        except InputError as error:
            if isinstance(event, Finished):
                raise
            self._warn(event, str(error))

    def _warn(self, event: Event, message: str) -> None:
        """Tell whoever watches, once: the log itself may be what cannot be written."""
        if not self._warned:
            self._warned = True
            tell(Warned(at=event.at, seconds=event.seconds, message=f"{message} The training goes on."), self.sinks[1:])

    def close(self) -> None:
        close(self.sinks)

    def finish(self, reading: float, choosing: float = 0.0) -> Finished:
        """Write what a report and an export need, and then the summary, by which the run is complete; `reading` the data and `choosing` the
        net are in seconds.
        """
        assert self.finished is not None
        self._keep_validation()
        timing = self.finished.timing
        total = reading + choosing + timing["training"] + timing["compiling"]
        self.folder.write_json(SUMMARY, {"seconds": {"total": total, "reading": reading, "choosing": choosing, **timing}})
        return self.finished

    def validation_of(self, finished: Finished | None) -> Validation | None:
        """What the best net does on the validation part; None of a run that is to go on, or cannot be measured."""
        if finished is None or finished.reason == "interrupted":
            return None
        if self._validation is None:
            try:
                self._validation = Validation.of(self.job.trained, self.job.data)
            except InputError:  # said where the measures are asked for
                return None
        return self._validation

    def _keep_validation(self) -> None:
        """For when the data is gone; nothing of a run that is to go on, or cannot be measured."""
        validation = self.validation_of(self.finished)
        if validation is not None:
            validation.write(self.folder, self.record["run"])
            self.folder.write_widths(self.job.trained, self.record["run"])


def lay_down(folder: Folder, job: Job, asked: Options, own: Own = NOTHING, selection: dict[str, Any] | None = None,
             mends: dict[str, Any] | None = None) -> None:
    """Write what is known of a run before its first step: `run.json`, with what its net was chosen among and which run it mends, and the
    encoder.
    """
    record = record_of(job.source, job.options, net=job.net_name, rule=job.rule_name, asked=asked, own=own)
    record["parameters"] = job.net.count()
    record["loss"] = None if job.loss is None else job.options.loss
    if job.loss is not None and job.loss.own is not None:
        record["own_loss_as"] = asdict(job.loss.own)
    record["data"] |= describe_data(job)
    record["selection"] = selection
    if mends is not None:
        record["mends"] = mends
    record["start"] = None if job.start is None else dict(job.start.about)
    if job.start is not None:
        folder.write_start(job.start, record["run"])
    folder.write_encoder(job.trained, record["run"])
    folder.write_rows(job.data, job.source, record["run"])
    folder.write_record(record)                    # last: a folder with a record has all that goes on from it


def started(job: Job, path: str, *, at: int, resumed: bool) -> Started:
    return Started(at=at, seconds=0.0, run=path, net=job.net_name, rule=job.rule_name, parameters=job.net.count(),
                   data={"name": job.source.name, "n": len(job.source), **describe_data(job), **({"facts": dict(job.facts)} if job.facts
                                                                                                 else {})},
                   settings={**job.options.to_json(), "chosen": job.choices}, resumed=resumed)


def _simpler(validation: Validation) -> dict[str, Any]:
    """What simpler answers score on the validation part, and by how much the net is better."""
    return {} if validation.result is None else validation.result.simpler()


def watching(progress: bool, more: Iterable[Sink]) -> list[Sink]:
    if not progress:
        return list(more)

    line: Sink = Progress()
    return [line, *more]


def tell(event: Event, sinks: Iterable[Sink]) -> None:
    for sink in sinks:
        sink(event)


def close(sinks: Iterable[Sink]) -> None:
    for sink in sinks:
        if hasattr(sink, "close"):
            sink.close()
