"""A run seen from outside: its settings, its history, its best net, and what is done with these."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Planned
from chainrule.core.files import writable
from chainrule.core.sampling import Drawn, Request
from chainrule.data.source import Data, Source
from chainrule.engine.store import Store
from chainrule.evaluate.decision import Chosen
from chainrule.evaluate.result import Result
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.job.record import read_encoder
from chainrule.job.records import Summary
from chainrule.job.start import Start
from chainrule.job.trained import Trained
from chainrule.observe.doctor.doctor import ranked
from chainrule.runs.folder import LOG, REPORT, SUMMARY, Folder
from chainrule.runs.validation import MEASURES, Validation, read_result
from chainrule.sinks import runlog
from chainrule.workflows.encode import codes_of
from chainrule.workflows.evaluation import measured_on
from chainrule.workflows.options import OperatingPoint
from chainrule.workflows.report import write_run_report
from chainrule.workflows.sample import samples_of
from chainrule.workflows.snapshot import Snapshot
from chainrule.workflows.source import own_of, source_again
from chainrule.workflows.threshold import choose_threshold
from chainrule.workflows.trained_folder import TrainedFolder

SUMMARISED = ("code", "name", "layer", "evidence", "remedy", "step", "first", "options")   # of a diagnosis


class Run(TrainedFolder):
    """A run folder, which stands alone: its net predicts, reports and is exported from the folder; testing and training ask for the data.

    A net, loss, data set or sample weights that existed only in the program's memory must be given again where they are needed: `net=`,
    `loss=`, `data=` (or a function that makes it), `weights=`.
    """

    def __init__(self, path: str | Path, *, job: Job | None = None, net: nn.Module | None = None, loss: LossLike = None, data: Any = None,
                 weights: Tensor | None = None):
        self.folder = Folder.find(path)
        self.path = self.folder.path
        self.record = self.folder.read_record()
        self._job, self._own, self._own_data = job, own_of(net, loss, weights), data

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.record['net']} on {self.record['data']['name']})"

    def __fspath__(self) -> str:
        """A run is given where the path of its folder is: `cr.train(..., from_=run)`."""
        return str(self.path)

    @property
    def trainings(self) -> list[Run]:
        """The runs whose training made its weights: itself."""
        return [self]

    @property
    def snapshots(self) -> list[Snapshot]:
        """Its weights at the end of each cycle, the earliest first. Raises InputError where it was not trained with `snapshots`."""
        cycles = self.options.snapshots
        if cycles is None:
            raise InputError(f"{self.path} kept no snapshots. Train with --snapshots 5, or another number of cycles.")
        store = Store(self.path, self.record["run"])
        return [Snapshot(self, number) for number in range(1, cycles + 1) if store.snapshot(number).exists()]

    @cached_property
    def trained(self) -> Trained:
        """The net with its best weights and all that its answers need. Raises InputError where a module of one's own is missing."""
        if self._job is None:
            return Trained.open(self.path, self._own)
        self._job.net.module.eval()
        return self._job.trained

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the files that its net was read from."""
        return list(self.trained.warnings)

    @cached_property
    def job(self) -> Job:
        """The run's job, the net holding its best weights. Raises InputError where the data is gone or has changed."""
        return self._job or replace(self.fresh_job(), trained=self.trained)

    def fresh_job(self) -> Job:
        """The job as it was before its first step. Raises InputError where the data or a module of one's own is missing."""
        source = self.source
        if self.record["own_net"] and self._own.net is None:
            raise InputError(f"{self.path} trained a module of your own, {self.record['net']}. Give it again: cr.Run(path, net=...).")
        if self.record["own_loss"] and self._own.loss is None:
            raise InputError(f"{self.path} used a loss of your own. Give it again: cr.Run(path, loss=...).")
        if self.record["own_weights"] and self._own.weights is None:
            raise InputError(f"{self.path} weighted its samples. Give the weights again: cr.Run(path, weights=...).")
        start = Start.read(self.path, self.record, read_encoder(self.path, self.record["run"])[0])
        job = build(source, self.options, self._own, start)
        job.data.door.log = self.log_opening
        return job

    @cached_property
    def source(self) -> Source:
        """The data, read again. Raises InputError where it is gone, or is no longer what it was."""
        if self._job is not None:
            return self._job.source
        own = self._own_data() if callable(self._own_data) else self._own_data
        return source_again(self.path, self.record, self.options, own)

    def share(self, source: Source) -> None:
        """Take data that another run read already, where it is the same and none was given, so that the rows are held once."""
        if self._job is None and self._own_data is None and self.record["data"]["fingerprint"] == source.fingerprint:
            self._own_data = source

    @property
    def events(self) -> list[Event]:
        return runlog.read(self.path / LOG)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row for each evaluation: epoch, step, train_loss and the validation measures; of several stages the number of each, from 1.

        A DataFrame takes it as it is.
        """
        several = any(isinstance(e, Entered) for e in self.events)
        return [{**({"stage": e.stage + 1} if several else {}), "epoch": e.epoch, "step": e.step, "train_loss": e.train["loss"],
                 **{f"valid_{k}": v for k, v in e.valid.items()},
                 "best": e.best} for e in self.events if isinstance(e, Evaluated)]

    @cached_property
    def validation(self) -> Validation:
        """What the folder keeps of the validation part; of a run that has not come to its end, from the data."""
        return Validation.read(self.folder, self.record["run"]) or Validation.of(self.trained, self.job.data)

    def test_on(self, what: Any) -> Result:
        """Measure on other data with targets, in the form the run was trained on; rows of its own test part are counted as an opening."""
        return measured_on(self.trained, self.options, what, self.folder)

    def encode(self, what: Any, layer: str | None = None) -> Tensor:
        """Codes (n, width) of rows in the form the run was trained on, or what a layer gives for them.

        Raises InputError for a net that makes none where no layer is named, and for a layer that is not there.
        """
        return codes_of(self.trained, what, layer)

    def sample(self, n: int = Request.n, given: str | None = Request.given, *, temperature: float = Request.temperature,
               top_k: int | None = Request.top_k, length: int | None = Request.length, seed: int | None = Request.seed,
               steps: int | None = Request.steps) -> Drawn:
        """Samples of a net that generates: `texts` that go on from what is given, or `rows` in the units of the data.

        Raises InputError for a net that makes none.
        """
        return samples_of(self.trained, Request(n, given, temperature, top_k, length, seed, steps))

    def threshold(self, positive: str, *, recall: float | None = None, precision: float | None = None, fpr: float | None = None,
                  at: float | None = None) -> Chosen:
        """Answer the class `positive` from another probability on, chosen on the validation part by one of the four; it is stored.

        Raises InputError where it cannot be chosen. `predict`, `test`, `report` and `export` obey it, in every process from now on.
        """
        return choose_threshold(self, positive, OperatingPoint(recall, precision, fpr, at))

    def summary(self) -> dict[str, Any]:
        """The keys that `chainrule train --json` prints."""
        events = self.events
        planned = next((e for e in reversed(events) if isinstance(e, Planned)), None)
        ended = next((e for e in reversed(events) if isinstance(e, Finished)), None)
        stored = self.folder.read_typed(SUMMARY, Summary) or {}
        result, measured = self.tested, read_result(self.folder, MEASURES)
        beside = {"baseline": None, "linear": None, "against": []} if measured is None else measured.simpler()
        return {
            "run": str(self.path), "task": self.record["data"]["task"],
            "net": self.record["net"], "parameters": self.record["parameters"], "rule": self.record["rule"],
            "data": {k: self.record["data"][k] for k in ("name", "n", "splits", "inputs", "classes")},
            "epochs": ended.epochs if ended else 0, "steps": ended.steps if ended else 0,
            "best": {"epoch": ended.best_epoch, **ended.best} if ended else {},
            "valid": {"n": self.record["data"]["splits"]["valid"], **ended.best, **beside} if ended else {},
            "plan": {"name": planned.name, "precision": planned.precision, "seconds_per_step": planned.seconds_per_step,
                     "rejected": planned.rejected, "reason": planned.reason} if planned else {},
            "seconds": stored.get("seconds", {}),
            "diagnoses": [{key: one[key] for key in SUMMARISED} for one in ranked([asdict(e) for e in events if isinstance(e, Diagnosed)])],
            "test": result.to_dict() if result else None,
        }

    def report(self, out: str | Path | None = None, overwrite: bool = False) -> Path:
        """One self-contained HTML file about the run. Raises InputError where `out` is there and is not to be overwritten."""
        return write_run_report(writable(Path(out), overwrite) if out else self.path / REPORT, self.path, self.trained, self.events,
                                self.summary()["seconds"], self.validation, self.tested, self.record, self._at_hand())

    def _at_hand(self) -> Data | None:
        """Its data, where a report has something to say of its columns and it is still there."""
        if self.trained.encoder.inputs.features is None:
            return None
        try:
            return self.job.data
        except InputError:
            return None


def run_of(path: Path, job: Job) -> Run:
    """The run in a folder whose job has just trained; openings of its test part are logged there."""
    run = Run(path, job=job)
    job.data.door.log = run.log_opening
    return run
