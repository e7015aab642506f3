"""Snapshots: the weights of one run at the end of each cycle of its rate, each seen as a run of its own.

Huang, Li, Pleiss, Liu, Hopcroft & Weinberger (2017), https://arxiv.org/abs/1704.00109
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.engine.store import Store
from chainrule.run import Run

if TYPE_CHECKING:
    from chainrule.evaluate.result import Result
    from chainrule.job import Job


class Snapshot(Run):
    """What a run knew when cycle `number` ended. It answers as a run does; its training, and the test part, are the run's."""

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
        job = replace(self.of.job, net=Net.of(copy.deepcopy(self.of.job.net.module)))
        Store(self.path, self.record["run"]).load_snapshot(self.number, job.net)
        job.net.module.eval()
        return job

    def fresh_job(self) -> Job:
        return self.of.fresh_job()

    def test(self, reason: str = "test") -> Result:
        raise InputError(f"A snapshot is not tested alone, which would open the test part once for each. Test all of them together: "
                         f"chainrule committee {self.path} --test.")


def snapshots_of(run: Run) -> list[Run]:
    """The snapshots of a run that are there, the earliest first. Raises InputError where a run was not trained to have any."""
    wanted = run.options.snapshots
    if wanted is None:
        raise InputError(f"{run.path} kept no snapshots. Train with --snapshots 5, or another number of cycles.")
    store = Store(run.path, run.record["run"])
    return [Snapshot(run, number) for number in range(1, wanted + 1) if store.snapshot(number).exists()]
