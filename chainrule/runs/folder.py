"""A run is a folder: `run.json` to repeat it, `log.jsonl` to see it, checkpoints to go on from, what its test said."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import uuid
from pathlib import Path
from typing import Any

import torch

from chainrule.core.abilities.tasks import Calibrates
from chainrule.core.errors import CorruptFile, InputError, suggest
from chainrule.core.files import folder_for, read_plain, write_atomically
from chainrule.core.schema import Misfit, as_type, conform, intelligible
from chainrule.core.text import now, resuming
from chainrule.data.encode.lagged import Lagged
from chainrule.data.row_contents import content_of
from chainrule.data.row_hashes import row_hashes
from chainrule.data.source import Data, Opening, Source, split_sizes
from chainrule.engine import checkpoint
from chainrule.engine.store import Store
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.own import NOTHING, Own
from chainrule.job.record import RECORD, REMEDY, read_record, sealed, write_encoder, write_widths
from chainrule.job.records import CommitteeRecord, Rows, SweepRecord
from chainrule.job.start import Start
from chainrule.job.trained import Trained
from chainrule.runs.ledger import LEDGER, Ledgers

SWEEP = "sweep.json"
COMMITTEE = "committee.json"
BOOSTING = "boosting.json"
LOG, SUMMARY, TESTED, REPORT = "log.jsonl", "summary.json", "test.json", "report.html"
PREDICTED = "test.safetensors"
ROWS = "rows.safetensors"


class Folder:
    """The files of one run, read and written; what they mean is the business of `api`."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, out: str | Path | None, data: str, net: str, *kind: str) -> Folder:
        """A new folder: `out`, or `runs/<data>-<net>-<number>`. Raises InputError where a run, or a file, is there already."""
        cls.check_free(out)
        if out is not None:
            path = Path(out)
        else:
            stem = "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", part).strip("._")[:40] or "x" for part in (data, net, *kind))
            number = 1
            while (path := Path("runs") / f"{stem}-{number}").exists():
                number += 1
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {path} cannot be made: {error.strerror}. Use another --out.") from None
        return cls(path)

    @staticmethod
    def check_free(out: str | Path | None) -> None:
        """Raises InputError where `out` is a file, is called like one, or holds a run already: called before data is read."""
        if out is None:
            return
        path = Path(out)
        if (path / COMMITTEE).exists():
            raise InputError(f"{path} already holds a committee. Use another --out.")
        if (path / RECORD).exists():
            raise InputError(f"{path} already holds a run. Use another --out, or {resuming(path)}.")
        folder_for(path)

    @classmethod
    def find(cls, path: str | Path) -> Folder:
        """An existing run. Raises InputError with the nearest one where there is none."""
        folder = Path(path)
        if not (folder / RECORD).exists():
            for several, what, kind in ((COMMITTEE, "committee", CommitteeRecord), (SWEEP, "sweep", SweepRecord)):
                if record := cls(folder).read_typed(several, kind):
                    first = os.path.normpath(folder / record["members"][0]["folder"])
                    raise InputError(f"{folder} is a {what} of runs, and this is done with one run. Name one of them, e.g. {first}.")
            beside = folder.parent if folder.parent.is_dir() else Path()
            runs = [p.parent.name for p in beside.glob(f"*/{RECORD}")]
            raise InputError(f"There is no run in {folder}. {suggest(folder.name, runs) if runs else 'chainrule train makes one.'}")
        return cls(folder)

    def write_record(self, record: dict[str, Any]) -> None:
        self._write(RECORD, sealed(record))

    def read_record(self) -> dict[str, Any]:
        """`run.json`, checked. Raises CorruptFile, or InputError where another version wrote it."""
        return read_record(self.path)

    @property
    def begun(self) -> bool:
        """Whether anything was trained: there is a checkpoint, or an event in the log."""
        log = self.path / LOG
        return Store(self.path, self.read_record()["run"]).position() is not None or (log.exists() and log.stat().st_size > 0)

    @property
    def complete(self) -> bool:
        """Whether the run's training ended by itself, and all that follows it was written, of which the summary is the last. Raises
        CorruptFile.
        """
        position = Store(self.path, self.read_record()["run"]).position()
        return bool(position and position.finished) and (self.path / SUMMARY).exists()

    def write_json(self, name: str, value: Any) -> None:
        self._write(name, json.dumps(value, indent=1, allow_nan=False, default=str))

    def read_json(self, name: str) -> Any:
        path = self.path / name
        if not path.exists():
            return None
        try:
            return json.loads(read_plain(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}. Put it right, or delete it.") from None
        except (ValueError, RecursionError):
            raise CorruptFile(f"{path} is not whole JSON. Delete it, or train again.") from None

    def read_typed(self, name: str, kind: type[Any], format: int | None = None) -> dict[str, Any] | None:
        """A record that is what its dataclass says, as JSON has it; None where there is none.

        Raises CorruptFile naming the key that is not, InputError where another version wrote it.
        """
        record = self.read_json(name)
        if not (self.path / name).exists():
            return None
        if format is not None and (stated := record.get("format") if isinstance(record, dict) else None) != format:
            raise InputError(f"{self.path / name} has format {stated}; this version reads format {format}. Use the version of chainrule "
                             "that wrote it, or make it again.")
        conform(kind, record, self.path / name, REMEDY)
        checked: dict[str, Any] = record
        return checked

    def write_encoder(self, trained: Trained, run: str) -> None:
        """What turns rows into inputs and targets into what is answered, and the constant answer."""
        try:
            write_encoder(self.path, trained.encoder, trained.constant, run)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def write_widths(self, trained: Trained, run: str) -> None:
        """How wide the intervals of answers are, where they have any."""
        if not isinstance(trained.task, Calibrates) or trained.task.widths is None:
            return
        try:
            write_widths(self.path, trained.task.widths, run)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def write_start(self, start: Start, run: str) -> None:
        """The trained weights that a run begins with, so that it can be repeated without the net that they come from."""
        try:
            start.write(self.path, run)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def write_tensors(self, name: str, tensors: dict[str, torch.Tensor], payload: dict[str, Any]) -> None:
        try:
            checkpoint.write(self.path / name, tensors, payload)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def read_predictions(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        path = self.path / PREDICTED
        return checkpoint.read(path) if path.exists() else None

    def write_rows(self, data: Data, source: Source, run: str) -> None:
        """By what the rows of each part are known again; nothing where rows stay on disk, or are symbols, whose windows repeat."""
        test = data.door.hashes()
        if test is None or data.encoder.inputs.vocabulary is not None or not isinstance(data.train.x, torch.Tensor):
            return
        parts = {"train": row_hashes(data.train.x), "valid": row_hashes(data.valid.x), "test": test}
        self.write_tensors(ROWS, {name: hashes.unique() for name, hashes in parts.items()},
                           {"kind": "rows", "run": run, "test_set": test_set(data, source), "content": content_of(source, data.door.rows)})

    def read_rows(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        path = self.path / ROWS
        if not path.exists():
            return None
        tensors, payload = checkpoint.read(path)
        with intelligible(path, REMEDY):
            as_type(Rows, payload)
            if not all(tensors[name].dtype == torch.int64 for name in ("train", "valid", "test")):
                raise Misfit("whole numbers of 64 bits", "others", "rows")
        return tensors, payload

    def open_log(self, test_set: str, content: str, reason: str) -> Opening:
        """Write one more opening of the test rows of these names into the ledgers; how many there were, and what is to be said of them."""
        beside = self.path.parent
        within = (beside / SWEEP).exists() or (beside / COMMITTEE).exists()
        # members of a sweep or a committee count with the runs around it
        return Ledgers((beside.parent if within else beside) / LEDGER).open(self.path, test_set, content, reason)

    def _write(self, name: str, text: str) -> None:
        try:
            write_atomically(self.path / name, text.encode())
        except OSError as error:
            raise _unwritable(self.path, error) from None


def record_of(source: Source, options: Options, *, net: str, rule: str, asked: Options, own: Own = NOTHING) -> dict[str, Any]:
    """What `run.json` says: all that a repetition needs, and the machine it ran on."""
    return {
        "run": uuid.uuid4().hex[:12],
        "created": now(),
        "net": net,
        "rule": rule,
        **own.record(),
        "data": {"name": source.name, "origin": dict(source.origin), "fingerprint": source.fingerprint, "n": len(source)},
        "options": options.to_json(),
        "asked": asked_of(asked),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def asked_of(asked: Options) -> dict[str, Any]:
    """What was asked for, by the options' names, as `run.json` says it: without those that were left open."""
    given: dict[str, Any] = json.loads(json.dumps({name: value for name, value in asked.to_json().items() if value is not None}))
    return given


def test_set(data: Data, source: Source) -> str:
    """A name for the test rows of this data, the same for every run that holds out the same ones; of a series, the same origins."""
    rows = source.inputs.origins[data.door.rows] if isinstance(source.inputs, Lagged) else data.door.rows
    return hashlib.sha256(source.fingerprint.encode() + rows.numpy().tobytes()).hexdigest()[:16]


def _unwritable(path: Path, error: OSError) -> InputError:
    where, resumable = error.filename or path, any((path / name).exists() for name in (RECORD, SWEEP, BOOSTING))
    remedy = f"Free some space, then: {resuming(path)}" if resumable else "Free some space or use another --out."
    return InputError(f"{where} cannot be written: {error.strerror or error}. {remedy}")


def describe_data(job: Job) -> dict[str, Any]:
    """What `run.json` and the log say of the data."""
    data = job.data
    return {"splits": split_sizes(data), "inputs": list(data.input_shape), "classes": list(data.classes), "task": job.task.name}
