"""What a run folder says of its net: `run.json`, sealed by a hash, and the encoder beside it; written once, checked whenever read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.files import read_plain, write_atomically
from chainrule.core.schema import as_type, conform, intelligible
from chainrule.data.encode.encoder import Encoder
from chainrule.engine import checkpoint
from chainrule.engine.saved import plans_of
from chainrule.evaluate.decision import Chosen
from chainrule.job.records import RunRecord

FORMAT = 3
CONSTANT = "constant"
RECORD, ENCODER, THRESHOLD, WIDTHS = "run.json", "encoder.safetensors", "threshold.json", "intervals.safetensors"
REMEDY = "Restore it from a copy, or train again."


def sealed(record: dict[str, Any]) -> str:
    """A record as text that says which version wrote it and bears the SHA-256 of all it says."""
    body = {"format": FORMAT, "chainrule": chainrule.__version__, **record}
    return json.dumps({**body, "sha256": _hash(body)}, indent=1)


def read_record(folder: Path) -> dict[str, Any]:
    """`run.json`, checked. Raises CorruptFile, or InputError where another version wrote it."""
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(read_plain(path))
        stated = record.pop("sha256")
        own = _hash(record)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Restore it from a copy, or train again.") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise CorruptFile(f"{path} is not whole JSON. Restore it from a copy, or train again.") from None
    if record.get("format") != FORMAT:
        raise InputError(f"{path} was written by chainrule {record.get('chainrule', '?')} (format {record.get('format')}); this is "
                         f"{chainrule.__version__} (format {FORMAT}). Use the version that wrote it, or train again.")
    if stated != own:
        raise CorruptFile(f"{path} was changed since it was written. Restore it from a copy, or train again.")
    check_record(RunRecord, record, path)
    return record


def check_record(kind: type[Any], record: Any, path: Path) -> None:
    """Raises CorruptFile naming the key where a record is not what this version writes."""
    conform(kind, record, path, REMEDY)
    with intelligible(path, REMEDY):
        if isinstance(record, dict) and record.get("plan") is not None:
            plans_of(record["plan"])


def read_own(path: Path, kind: str, run: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the payload of a file that a run keeps beside its record. Raises CorruptFile where it is of another run or kind."""
    tensors, payload = checkpoint.read(path)
    if payload.get("run") != run or payload.get("kind") != kind:
        raise CorruptFile(f"{path} belongs to run {payload.get('run')} ({payload.get('kind')}), not here. Put the right file back, or "
                          "train again.")
    return tensors, payload


def write_encoder(folder: Path, encoder: Encoder, constant: Tensor | None, run: str) -> None:
    """The encoder, and what the constant answer is made of. Raises OSError."""
    tensors, meta = encoder.to_state()
    tensors |= {} if constant is None else {CONSTANT: constant}
    checkpoint.write(folder / ENCODER, tensors or {"none": torch.zeros(1)}, {"kind": "encoder", "run": run, "meta": meta})


def read_encoder(folder: Path, run: str) -> tuple[Encoder, Tensor | None]:
    """The encoder that a run, or a committee, was trained with, and what its constant answer is made of.

    Raises CorruptFile where it is another's, InputError where it is gone.
    """
    tensors, payload = read_own(folder / ENCODER, "encoder", run)
    with intelligible(folder / ENCODER, REMEDY):
        return Encoder.from_state(tensors, as_type(dict, payload["meta"]), folder / ENCODER), tensors.get(CONSTANT)


def write_threshold(folder: Path, chosen: Chosen, run: str) -> None:
    """Raises InputError where the folder cannot be written."""
    try:
        write_atomically(folder / THRESHOLD, json.dumps({"run": run, **chosen.to_json()}, indent=1).encode())
    except OSError as error:
        raise InputError(f"{folder / THRESHOLD} cannot be written: {error.strerror}. Free some space.") from None


def read_threshold(folder: Path) -> Chosen | None:
    """The operating point that was chosen for a run, if one was. Raises CorruptFile where the file is not whole."""
    path = folder / THRESHOLD
    if not path.exists():
        return None
    try:
        stored = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError):
        raise CorruptFile(f"{path} is not what chainrule threshold wrote. Delete it, or choose again.") from None
    with intelligible(path, "Delete it, or choose again."):
        return Chosen.from_json(stored)


def write_widths(folder: Path, widths: Tensor, run: str) -> None:
    """Half widths of the intervals of a run's answers. Raises OSError."""
    checkpoint.write(folder / WIDTHS, {"widths": widths.contiguous()}, {"kind": "intervals", "run": run})


def read_widths(folder: Path, run: str) -> Tensor | None:
    """Half widths of the intervals of a run's answers, None where it has none. Raises CorruptFile where they are another's."""
    if not (folder / WIDTHS).exists():
        return None
    tensors, _ = read_own(folder / WIDTHS, "intervals", run)
    with intelligible(folder / WIDTHS, REMEDY):
        return tensors["widths"]


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
