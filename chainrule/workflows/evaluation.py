"""The test part opened, counted and measured; other data measured; what each case contributed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from chainrule.core.abilities.densities import HasSteps
from chainrule.core.errors import InputError
from chainrule.core.events import TestOpened
from chainrule.core.registry import datasets
from chainrule.core.schema import Natural, as_type, intelligible
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.load import load, load_inputs
from chainrule.data.readers.text import in_pieces
from chainrule.data.reading import Reading
from chainrule.data.row_contents import content_of
from chainrule.data.row_hashes import row_hashes
from chainrule.data.source import Opening, Part, Source
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.job import Job
from chainrule.job.linear import linear_of
from chainrule.job.options import Options
from chainrule.job.record import REMEDY, read_threshold
from chainrule.job.simpler_answers import with_simpler
from chainrule.job.trained import Trained, as_asked
from chainrule.runs.folder import LOG, PREDICTED, TESTED, Folder, test_set
from chainrule.runs.validation import read_result
from chainrule.sinks import runlog
from chainrule.workflows import several_characters
from chainrule.workflows.other_rows import reading_other_rows
from chainrule.workflows.report import write_plots


class Tested(Protocol):
    """A run or a committee, as its test needs it."""

    path: Path
    folder: Folder
    record: dict[str, Any]

    @property
    def job(self) -> Job: ...

    @property
    def trained(self) -> Trained: ...


def open_test(run: Tested, reason: str) -> Result:
    """Open the test part, once more, and measure. The opening is counted in the ledger of the runs folder."""
    job, trained = run.job, run.trained
    part = job.data.door.open(reason)
    if len(part) == 0:
        raise InputError(f"{run.path} held out no test part. Train with --split train=.7,valid=.15,test=.15.")
    result = trained.measure(part)
    result = dataclasses.replace(result, opened=job.data.door.opened, notes=(*result.notes, *job.data.door.notes))
    predictions, truth, name = trained.predictions(part), trained.truth(part), test_set(job.data, job.source)
    result = with_simpler(trained, linear_of(trained, job.data), part, predictions, result, name)
    tensors: dict[str, Tensor] = {"rows": part.rows, "predictions": predictions}
    about: dict[str, Any] = {"kind": "test", "run": run.record["run"], "test_set": name}
    tensors |= {"truth": truth} if len(truth) else {}
    cases = trained.outcomes(part, name, predictions)
    if cases is not None:
        tensors["rows"] = cases.rows
        tensors |= {key: t for key, t in (("right", cases.right), ("costs", cases.costs)) if t is not None}
        about |= {"measure": cases.measure, "block": cases.block}
    try:
        if (len(truth) and trained.loss is not None) or isinstance(trained.net.module, HasSteps):
            write_plots(trained, predictions, truth, run.path, part)
    except (InputError, MemoryError):            # pictures may be missing, what was measured may not
        _keep_test(run.folder, result, tensors, about)
        raise
    _keep_test(run.folder, result, tensors, about)
    return result


def _keep_test(folder: Folder, result: Result, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write what a test measured, its answers last: where a folder has them, all the rest has been written, its pictures among it."""
    folder.write_json(TESTED, result.to_dict())
    folder.write_tensors(PREDICTED, tensors, about)


def measured_on(trained: Trained, options: Options, what: Any, own: Folder) -> Result:
    """Measures on other data with targets, in the form that was trained on.

    Pictures that hold several of what the net classifies are read along their width. Rows of the run's own parts are known again, by the
    folder `own`, and said; where some are of the test part, that is an opening of it.
    """
    encoder = trained.encoder
    with reading_other_rows():
        source = _labelled(trained, options, what)
        several = several_characters.present(trained, source)
        if not several:
            source = as_asked(trained, source)
            x, y = encoder.inputs.encode(source), encoder.target.encode(source)
    if several:
        return several_characters.measured(trained, source)
    result = trained.measure(Part(x, y, torch.arange(len(source)), mask=encoder.target.mask(source)))
    stored = own.read_rows()
    if stored is None or not isinstance(x, Tensor):
        return result
    (parts, about), hashes = stored, row_hashes(x)
    train, valid, test = (torch.isin(hashes, parts[name]) for name in ("train", "valid", "test"))
    valid, test = valid & ~train, test & ~train & ~valid
    counts = [int(rows.sum()) for rows in (train, valid, test)]
    if not any(counts):
        return result
    opening = own.open_log(about["test_set"], str(about.get("content", "")), "test --on") if counts[2] else Opening(0)
    note = (f"{sum(counts):,} of {len(x):,} rows are the run's own, or equal to them: {counts[0]:,} of its training, {counts[1]:,} of its "
            f"validation, {counts[2]:,} of its test part{'; this counts as an opening of the test part' if opening.count else ''}. What a "
            "net learned from says little of new rows.")
    return dataclasses.replace(result, opened=opening.count, notes=(*result.notes, note, *opening.notes))


def _labelled(trained: Trained, options: Options, what: Any) -> Source:
    """Other data with targets, raw, read as what was trained on."""
    encoder = trained.encoder
    if hasattr(what, "fingerprint"):
        given: Source = what
        return given
    if encoder.inputs.kind == "table" or encoder.inputs.lagging is not None or encoder.inputs.column:
        source = load_inputs(what, like=encoder.inputs, target=encoder.target.columns)
        if source.targets is None and encoder.inputs.lagging is None:
            names = ", ".join(encoder.target.columns)
            raise InputError(f"{source.name} has no target '{names}', or not in every row; measuring needs one for each. "
                             "Add it, or use predict.")
        return source
    known = encoder.inputs.reading if isinstance(what, str | Path) and not datasets.called(what) else {}
    merges = encoder.inputs.vocabulary.merges if encoder.inputs.vocabulary is not None else ()
    asked = Reading(resize=known.get("resize"), skip_bad=bool(known.get("skip_bad")), tokens=None if merges else known.get("tokens"))
    source = load(what, target=options.target, group=options.group, time=options.time, reading=asked)
    return in_pieces(source, merges) if merges and isinstance(source.inputs, Symbols) and source.inputs.of_text else source


def tested(folder: Folder) -> Result | None:
    """What the last opening of the test part found, if there was one."""
    return read_result(folder, TESTED)


def cases_of(run: Tested) -> Cases:
    """What each test case contributed to paired tests, as the last opening of the test part left it.

    Raises InputError where its cases have no likelihood.
    """
    stored = run.folder.read_predictions()
    assert stored is not None
    tensors, payload = stored
    if "measure" not in payload:
        raise InputError(f"{run.path} gives no likelihood of its test cases by which it could be compared. Compare nets that classify, "
                         "predict values or reconstruct, or densities whose likelihood is known, such as --net mixture.")
    chosen = read_threshold(run.path)
    with intelligible(run.path / PREDICTED, REMEDY):
        right = tensors.get("right") if chosen is None else chosen.threshold.decided(tensors["predictions"]) == tensors["truth"]
        return Cases(tensors["rows"], as_type(str, payload["test_set"]), right, tensors.get("costs"), as_type(str, payload["measure"]),
                     as_type(Natural, payload.get("block", 1)))


def log_opening(run: Tested, reason: str) -> Opening:
    """Write an opening of the test part into the ledgers, and say it in the run's log."""
    job = run.job
    opening = run.folder.open_log(test_set(job.data, job.source), content_of(job.source, job.data.door.rows), reason)
    log = runlog.RunLog(run.path / LOG)
    at = max((e.at for e in runlog.read(run.path / LOG)), default=-1) + 1
    log(TestOpened(at=at, seconds=0.0, name=run.record["data"]["name"], opened=opening.count, reason=reason))
    log.close()
    if log.behind:
        raise InputError(f"The opening of the test part cannot be recorded in {log.path}: {log.behind}. Free some space.")
    return opening
