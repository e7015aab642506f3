"""Going on with what was interrupted: a run, a sweep of runs, a boosting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chainrule.core.events import Sink
from chainrule.engine.stop import Stop
from chainrule.runs.folder import BOOSTING, SWEEP
from chainrule.workflows.boosting import resume_boosting
from chainrule.workflows.run import Run
from chainrule.workflows.session import session_of
from chainrule.workflows.sweep import go_on
from chainrule.workflows.train import resume_run


def resume(path: str | Path | Run, *, progress: bool = True, sinks: Iterable[Sink] = (), stop: Stop | None = None,
           log: str | None = None) -> Any:
    """Go on with an interrupted run, to the same weights, bit for bit, that it would have had; or with all unfinished runs of a sweep, or
    with a boosting.

    Returns the `Run`, the `Sweep`, or the `Committee`. `log` is `tensorboard` where an event file is to be written too.

    >>> import chainrule as cr
    >>> run = cr.train("iris", net="linear", epochs=2, plan="eager", progress=False)
    >>> len(cr.resume(run.path, progress=False).history)
    2
    """
    session = session_of(progress=progress, sinks=sinks, stop=stop, log=log)
    if isinstance(path, Run):
        return resume_run(path, session)
    if (Path(path) / SWEEP).exists():
        return go_on(Path(path), session)
    return resume_boosting(Path(path), session) if (Path(path) / BOOSTING).exists() else resume_run(Run(path), session)
