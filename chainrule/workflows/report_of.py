"""The report of whatever lies in a folder: a run, a committee, a sweep, a check, rates; or of several runs, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.events import Evaluated
from chainrule.core.files import read_plain, writable
from chainrule.report.flow import readings_of
from chainrule.report.several import write_check, write_rates, write_sweep
from chainrule.runs.folder import REPORT, SWEEP
from chainrule.workflows.about import versions
from chainrule.workflows.check import CHECK
from chainrule.workflows.compare import compare
from chainrule.workflows.find_rate import RATES
from chainrule.workflows.grid import REPLICATES
from chainrule.workflows.open import open_run
from chainrule.workflows.sweep import Sweep

COMPARED = "comparison.html"


def report(*several: str | Path, out: str | Path | None = None, overwrite: bool = False) -> Path:
    """One self-contained HTML file about what is in a folder: a run, a committee, a sweep, a check or rates; of several runs, compared.

    It is written beside what it is about, or to `out`; where several are compared, to `comparison.html` here. Raises InputError for a
    folder that holds none of them, and where `out` is there and is not to be overwritten.
    """
    paths = [Path(one) for one in several]
    if not paths:
        raise InputError("expected a folder to write a report of; got none. Name one, e.g. chainrule report runs/digits-mlp-1.")
    if len(paths) > 1:
        page = Path(out) if out else Path(COMPARED)
        compare(*paths, out=page, overwrite=overwrite or out is None)
        return page
    path = paths[0]
    if (path / SWEEP).exists():
        return _sweep(path, writable(Path(out), overwrite) if out else path / REPORT)
    for name, written in ((CHECK, _check), (RATES, _rates)):
        if (path / name).exists():
            return written(path, _record(path / name), writable(Path(out), overwrite) if out else path / REPORT)
    return open_run(path).report(out, overwrite)


def _sweep(path: Path, out: Path) -> Path:
    sweep = Sweep(path)
    rows, best = sweep.rows(), sweep.rows()[0]
    alike = [run for run, setting in zip(sweep.runs, sweep.settings, strict=True) if _without(setting) == _without(best["settings"])]
    histories = {run.name: [{"epoch": e.epoch, "step": e.step, "train": e.train, "valid": e.valid, "best": e.best}
                            for e in run.events if isinstance(e, Evaluated)] for run in alike}
    order = {row["run"]: i for i, row in enumerate(rows)}
    flows = sorted(((run.name, readings) for run in sweep.runs if (readings := readings_of(run.events))),
                   key=lambda one: next(i for run, i in order.items() if Path(run).name == one[0]))
    return write_sweep(out, f"{len(sweep)} runs over {', '.join(sweep.settings[0])}", str(path), rows, sweep.spread(),
                       histories=histories if len(histories) > 1 else {}, flows=flows, versions=versions())


def _without(setting: Mapping[str, str]) -> dict[str, str]:
    """The settings that tell more than repetitions apart."""
    return {key: value for key, value in setting.items() if key not in REPLICATES}


def _check(path: Path, record: dict[str, Any], out: Path) -> Path:
    pictures = [(p.stem, p.read_bytes()) for p in sorted(path.glob("*.png"))]
    return write_check(out, str(record.get("data", path.name)), record, pictures, versions())


def _rates(path: Path, record: dict[str, Any], out: Path) -> Path:
    pictures = [("The loss while the rate rises", p.read_bytes()) for p in sorted(path.glob("*.png"))]
    return write_rates(out, record, pictures, versions())


def _record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(read_plain(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Put it right, or delete it.") from None
    except (ValueError, RecursionError):
        raise CorruptFile(f"{path} is not whole JSON. Delete it, and make it again.") from None
    return record
