"""Opens the run or the ensemble in a folder."""

from __future__ import annotations

from pathlib import Path

from chainrule.runs.folder import COMMITTEE
from chainrule.workflows.ensemble import Committee
from chainrule.workflows.run import Run
from chainrule.workflows.snapshot import Snapshot

Answering = Run | Snapshot | Committee


def open_run(path: str | Path) -> Run | Committee:
    """The run or the committee in a folder. Raises InputError where there is neither."""
    return Committee(path) if (Path(path) / COMMITTEE).exists() else Run(path)
