"""A snapshot: what a run knew when one of its cycles ended.

Huang, Li, Pleiss, Liu, Hopcroft & Weinberger (2017), https://arxiv.org/abs/1704.00109
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.source import Source
from chainrule.engine.store import Store
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.trained import Trained
from chainrule.runs.folder import Folder
from chainrule.tasks.task import Task
from chainrule.workflows.evaluation import measured_on
from chainrule.workflows.predict import answers


class Snapshot:
    """What a run knew when cycle `number` ended. It answers as a run does; its training, and the test part, are the run's."""

    def __init__(self, of: Any, number: int):
        self.of, self.number = of, number
        self.path, self.record = of.path, of.record

    def __repr__(self) -> str:
        return f"Snapshot({str(self.path)!r}, {self.number})"

    @property
    def name(self) -> str:
        return f"{self.of.name} snapshot {self.number}"

    @property
    def options(self) -> Options:
        options: Options = self.of.options
        return options

    @property
    def trainings(self) -> list[Any]:
        """The run whose training made its weights."""
        return [self.of]

    @cached_property
    def trained(self) -> Trained:
        """The run's net, copied, with the weights at the end of the cycle. Raises CorruptFile naming the file."""
        whole = self.of.trained
        task: Task = tasks.find(whole.task.name).make(whole.encoder)  # without a threshold, which was chosen for other weights
        trained: Trained = replace(whole, net=Net.of(duplicate(whole.net.module)), task=task)
        Store(self.path, self.record["run"]).load_snapshot(self.number, trained.net)
        trained.net.module.eval()
        return trained

    @property
    def net(self) -> nn.Module:
        return self.trained.net.module

    @property
    def source(self) -> Source:
        source: Source = self.of.source
        return source

    @cached_property
    def job(self) -> Job:
        """The run's job with these weights. Raises InputError where the data is gone or has changed."""
        job: Job = replace(self.of.job, trained=self.trained)
        return job

    @cached_property
    def valid(self) -> Result:
        """Measures with intervals on the validation part."""
        return self.trained.measure(self.job.data.valid)

    def test_on(self, what: Any) -> Result:
        """Measure on other data with targets; the run's own test part stays shut."""
        return measured_on(self.trained, self.options, what, Folder(self.path))

    def predict(self, what: Any) -> tuple[Tensor, tuple[str, ...]]:
        """Answers for new rows, as those of a run, with the names of their columns."""
        return answers(self.trained, what)

    def test(self, reason: str = "test") -> Result:
        """Raises InputError: a snapshot has no test of its own."""
        raise InputError(f"A snapshot is not tested alone, which would open the test part once for each. Test all of them together: "
                         f"chainrule committee {self.path} --test.")

    def cases(self) -> Cases:
        """Raises InputError, as `test` does."""
        return self.test("compare")  # type: ignore[return-value]
