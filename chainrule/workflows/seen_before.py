"""Test rows that the net which a run starts from has learned from: what is measured on them says little of new rows."""

from __future__ import annotations

from pathlib import Path

import torch

from chainrule.core.errors import ChainruleError
from chainrule.job.job import Job
from chainrule.job.record import RECORD
from chainrule.runs.folder import Folder


def seen_before(job: Job) -> list[str]:
    """One sentence where rows of the test part, or equal ones, are among those that the earlier run trained on; else none.

    Nothing is said where rows stay on disk, or where the earlier run is not there any more.
    """
    hashes = job.data.door.hashes()
    path = Path(str(job.start.about["path"])) if job.start is not None else None
    if path is None or hashes is None or not (path / RECORD).exists():
        return []
    try:
        stored = Folder(path).read_rows()
    except ChainruleError:  # of the earlier run, whose rows are only looked at for this sentence
        return []
    if stored is None:
        return []
    count = int(torch.isin(hashes, stored[0]["train"]).sum())
    if not count:
        return []
    return [f"{count:,} of {len(hashes):,} test rows are among those that {path} learned from, or equal to them: what "
            "is measured on them says little of new rows. Use the same --split-seed for both."]
