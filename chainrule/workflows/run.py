"""A run seen from outside: its settings, its history, its best net; what it says of the test part and of new rows."""

from __future__ import annotations

import copy
import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Planned, TestOpened
from chainrule.core.net import Net
from chainrule.data.load import load, load_inputs
from chainrule.data.source import Part
from chainrule.engine.store import Store
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.build import LossLike, build
from chainrule.job.job import Job
from chainrule.job.monte_carlo_dropout import Sampler
from chainrule.job.options import Options
from chainrule.runs.folder import LOG, REPORT, SUMMARY, TESTED, Folder, test_set
from chainrule.sinks import runlog
from chainrule.workflows.export import export
from chainrule.workflows.report import write_plots, write_run_report
from chainrule.workflows.source import own_of


class Run:
    """A run folder. The network and the data are read when first asked for, from the folder alone where that suffices.

    A net, loss, data set or sample weights that existed only in the program's memory must be given again: `net=`, `loss=`,
    `data=`, `weights=`.
    """

    def __init__(self, path: str | Path, *, job: Job | None = None, net: nn.Module | None = None, loss: LossLike = None, data: Any = None,
                 weights: Tensor | None = None):
        self.folder = Folder.find(path)
        self.path = self.folder.path
        self.record = self.folder.read_record()
        self._job, self._own, self._own_data = job, own_of(net, loss, weights), data

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.record['net']} on {self.record['data']['name']})"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def options(self) -> Options:
        return Options.from_json(self.record["options"])

    @property
    def trained(self) -> list[Run]:
        """The runs whose training made its weights: itself."""
        return [self]

    @property
    def snapshots(self) -> list[Run]:
        """Its weights at the end of each cycle, the earliest first. Raises InputError where it was not trained with `snapshots`."""
        cycles = self.options.snapshots
        if cycles is None:
            raise InputError(f"{self.path} kept no snapshots. Train with --snapshots 5, or another number of cycles.")
        store = Store(self.path, self.record["run"])
        return [Snapshot(self, number) for number in range(1, cycles + 1) if store.snapshot(number).exists()]

    @cached_property
    def job(self) -> Job:
        """The run's job, the net holding its best weights."""
        job = self._job or self.fresh_job()
        if self._job is None:
            self.warnings = Store(self.path, self.record["run"]).load_best(job.net)
        job.net.module.eval()
        return job

    def fresh_job(self) -> Job:
        """The job as it was before its first step. Raises InputError where the data or a module of one's own is missing."""
        source = self.source
        if self.record["own_net"] and self._own.net is None:
            raise InputError(f"{self.path} trained a module of your own, {self.record['net']}. Give it again: cr.Run(path, net=...).")
        if self.record["own_loss"] and self._own.loss is None:
            raise InputError(f"{self.path} used a loss of your own, {self.options.loss}. Give it again: cr.Run(path, loss=...).")
        if self.record["own_weights"] and self._own.weights is None:
            raise InputError(f"{self.path} weighted its samples. Give the weights again: cr.Run(path, weights=...).")
        job = build(source, self.options, self._own)
        job.data.door.log = self._opened
        return job

    @cached_property
    def source(self) -> Any:
        """The data, read again. Raises InputError where it is gone, or is no longer what it was."""
        if self._job is not None:
            return self._job.source
        told, options = self.record["data"], self.options
        origin = told["origin"]
        if origin["kind"] == "memory" and self._own_data is None:
            raise InputError(f"{self.path} was trained on data in memory. Give it again: cr.Run(path, data=...).")
        what = origin["what"] if self._own_data is None else self._own_data
        roles = {role: getattr(options, role) or origin.get(role) for role in ("target", "group", "time", "weight")}
        source = what if hasattr(what, "fingerprint") else load(what, **roles, data_dir=origin.get("data_dir"),
                                                                stream=bool(origin.get("streamed")))
        if source.fingerprint != told["fingerprint"]:
            raise InputError(f"{told['name']} has changed since {self.path} was trained (its SHA-256 differs). Put the old file back, "
                             "or train again.")
        return source

    @property
    def net(self) -> nn.Module:
        """A plain torch module with the best weights, in evaluation mode."""
        return self.job.net.module

    @property
    def events(self) -> list[Event]:
        return runlog.read(self.path / LOG)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row for each evaluation: epoch, step, train_loss and the validation measures; a DataFrame takes it as it is."""
        return [{"epoch": e.epoch, "step": e.step, "train_loss": e.train["loss"], **{f"valid_{k}": v for k, v in e.valid.items()},
                 "best": e.best} for e in self.events if isinstance(e, Evaluated)]

    @cached_property
    def valid(self) -> Result:
        """Measures with intervals on the validation part."""
        return self.job.trained.measure(self.job.data.valid)

    def test(self, reason: str = "test") -> Result:
        """Open the test part, once more, and measure. The opening is counted in the ledger of the runs folder."""
        part = self.job.data.door.open(reason)
        if len(part) == 0:
            raise InputError(f"{self.path} held out no test part. Train with --split train=.7,valid=.15,test=.15.")
        result = dataclasses.replace(self.job.trained.measure(part), opened=self.job.data.door.opened)
        predictions = self.job.trained.predictions(part)
        cases = {"rows": part.rows, "predictions": predictions} | ({} if part.y is None else {"truth": self.truth(part)})
        self.folder.write_predictions(cases, {"kind": "test", "run": self.record["run"], "test_set": self.test_set})
        self.folder.write_json(TESTED, result.to_dict())
        if part.y is not None and self.job.loss is not None:
            write_plots(self.job, part, self.truth(part), self.path)
        return result

    def test_on(self, what: Any) -> Result:
        """Measure on other data with targets, in the form the run was trained on; the run's own test part stays shut."""
        options, encoder = self.options, self.job.data.encoder
        source = what if hasattr(what, "fingerprint") else load(what, target=options.target, group=options.group, time=options.time)
        return self.job.trained.measure(Part(encoder.inputs(source), encoder.targets(source), torch.arange(len(source))))

    @property
    def tested(self) -> Result | None:
        """What the last opening of the test part found, if there was one."""

        stored = self.folder.read_json(TESTED)
        return None if stored is None else Result.from_json(json.dumps(stored))

    @property
    def test_set(self) -> str:
        return test_set(self.job.data, self.job.source)

    def cases(self) -> Any:
        """Right or wrong, or the squared error, for each test case; opens the test part where it has not been yet."""
        stored = self.folder.read_predictions()
        if stored is None:
            self.test("compare")
            stored = self.folder.read_predictions()
            assert stored is not None
        tensors, payload = stored
        truth, said = tensors["truth"], tensors["predictions"]
        if not truth.is_floating_point():
            return Cases(tensors["rows"], payload["test_set"], right=said.argmax(1) == truth)
        return Cases(tensors["rows"], payload["test_set"], squared_errors=(said - truth).square().mean(1))

    def predict(self, what: Any) -> tuple[Tensor, tuple[str, ...]]:
        """Class probabilities (n, classes), or values in target units (n, k), for new rows in the form the run was trained on.

        Returns them with the names of the columns. Raises InputError where columns or shapes do not match.
        """
        job = self.job
        x = job.data.encoder.inputs(load_inputs(what, like=job.trained.encoder))
        out = job.trained.predictions(Part(x, None, torch.arange(len(x))))
        return out, self.columns(out.shape[1])

    def uncertainty(self, what: Any, samples: int = 50) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean predictions (n, k) of so many passes with dropout left on, and how uncertain they are: see `uncertainty.spread`.

        Raises InputError for a net without dropout.
        """
        sampler = Sampler(self.job.trained, samples)
        return sampler(self.job.data.encoder.inputs(load_inputs(what, like=self.job.trained.encoder)))

    def columns(self, count: int) -> tuple[str, ...]:
        """What `count` columns of predictions are called: classes, targets, or numbers."""
        return self.job.task.names(count)

    def summary(self) -> dict[str, Any]:
        """The keys that `chainrule train --json` prints."""
        events = self.events
        planned = next((e for e in reversed(events) if isinstance(e, Planned)), None)
        ended = next((e for e in reversed(events) if isinstance(e, Finished)), None)
        stored = self.folder.read_json(SUMMARY) or {}
        tested = self.tested
        return {
            "run": str(self.path), "net": self.record["net"], "parameters": self.record["parameters"], "rule": self.record["rule"],
            "data": {k: self.record["data"][k] for k in ("name", "n", "splits", "inputs", "classes")},
            "epochs": ended.epochs if ended else 0, "steps": ended.steps if ended else 0,
            "best": {"epoch": ended.best_epoch, **ended.best} if ended else {},
            "valid": {"n": self.record["data"]["splits"]["valid"], **ended.best} if ended else {},
            "plan": {"name": planned.name, "precision": planned.precision, "seconds_per_step": planned.seconds_per_step,
                     "rejected": planned.rejected, "reason": planned.reason} if planned else {},
            "seconds": stored.get("seconds", {}),
            "diagnoses": [{"code": e.code, "layer": e.layer, "evidence": e.evidence, "remedy": e.remedy}
                          for e in events if isinstance(e, Diagnosed)],
            "test": tested.to_dict() if tested else None,
        }

    def export(self, to: str, out: str | Path | None = None) -> tuple[Path, float]:
        """Write the best net as `onnx`, `pt2` or `safetensors`; the path, and the largest difference on rows of the data."""
        rows = self.job.data.ready(self.job.data.valid.x[:256])
        path = Path(out) if out else self.path / f"net.{to}"
        return path, export(self.net, rows[:2], path, to, rows)  # type: ignore[arg-type]

    def report(self, out: str | Path | None = None) -> Path:
        """One self-contained HTML file about the run."""
        path = Path(out) if out else self.path / REPORT
        return write_run_report(path, self.path, self.job, self.events, self.summary()["seconds"], self.valid, self.tested)

    def truth(self, part: Part) -> Tensor:
        """Class numbers (n,), or targets in their own units (n, k)."""
        return self.job.task.truth(part.y)

    def _opened(self, reason: str) -> int:
        opened = self.folder.open_log(self.test_set, reason)
        log = runlog.RunLog(self.path / LOG)
        at = max((e.at for e in runlog.read(self.path / LOG)), default=-1) + 1
        log(TestOpened(at=at, seconds=0.0, name=self.record["data"]["name"], opened=opened, reason=reason))
        log.close()
        return opened


def run_of(path: Path, job: Job) -> Run:
    """The run in a folder whose job has just trained; openings of its test part are logged there."""
    run = Run(path, job=job)
    job.data.door.log = run._opened
    return run


class Snapshot(Run):
    """What a run knew when cycle `number` ended. It answers as a run does; its training, and the test part, are the run's.

    Huang, Li, Pleiss, Liu, Hopcroft & Weinberger (2017), https://arxiv.org/abs/1704.00109
    """

    def __init__(self, of: Run, number: int):
        self.of, self.number = of, number
        self.folder, self.path, self.record = of.folder, of.path, of.record

    def __repr__(self) -> str:
        return f"Snapshot({str(self.path)!r}, {self.number})"

    @property
    def name(self) -> str:
        return f"{self.of.name} snapshot {self.number}"

    @property
    def trained(self) -> list[Run]:
        return [self.of]

    @cached_property
    def source(self) -> object:
        return self.of.source

    @cached_property
    def job(self) -> Job:
        """The run's job, a copy of its net holding the weights at the end of the cycle. Raises CorruptFile naming the file."""
        of = self.of.job
        job = dataclasses.replace(of, trained=dataclasses.replace(of.trained, net=Net.of(copy.deepcopy(of.net.module))))
        Store(self.path, self.record["run"]).load_snapshot(self.number, job.net)
        job.net.module.eval()
        return job

    def fresh_job(self) -> Job:
        return self.of.fresh_job()

    def test(self, reason: str = "test") -> Result:
        raise InputError(f"A snapshot is not tested alone, which would open the test part once for each. Test all of them together: "
                         f"chainrule committee {self.path} --test.")
