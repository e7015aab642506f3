"""Jobs whose steps are looked at while they train."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from chainrule.job.job import Job
from chainrule.observe.observer import StepObserver

J = TypeVar("J", bound=Job)


def observed(job: J) -> J:
    """The job with an observer of its rule, what it lowers, and its rows."""

    def valid(rows: int) -> Tensor | None:
        part = job.data.valid
        return job.data.ready(part.x[: min(rows, len(part))].to(job.device)) if len(part) else None

    job.observer = StepObserver(job.rule_name.partition(":")[0], job.learned, job.data.ready, frozenset(job.net.params), valid)
    return job
