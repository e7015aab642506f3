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
from chainrule.data.encode.encoder import Encoder
from chainrule.engine import checkpoint
from chainrule.evaluate.decision import Chosen

FORMAT = 3
CONSTANT = "constant"
RECORD, ENCODER, THRESHOLD, WIDTHS = "run.json", "encoder.safetensors", "threshold.json", "intervals.safetensors"


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
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Restore it from a copy, or train again.") from None
    except (ValueError, KeyError, AttributeError, RecursionError):
        raise CorruptFile(f"{path} is not whole JSON. Restore it from a copy, or train again.") from None
    if record.get("format") != FORMAT:
        raise InputError(f"{path} was written by chainrule {record.get('chainrule', '?')} (format {record.get('format')}); this is "
                         f"{chainrule.__version__} (format {FORMAT}). Use the version that wrote it, or train again.")
    if stated != _hash(record):
        raise CorruptFile(f"{path} was changed since it was written. Restore it from a copy, or train again.")
    return record


def write_encoder(folder: Path, encoder: Encoder, constant: Tensor | None, run: str) -> None:
    """The encoder, and what the constant answer is made of. Raises OSError."""
    tensors, meta = encoder.to_state()
    tensors |= {} if constant is None else {CONSTANT: constant}
    checkpoint.write(folder / ENCODER, tensors or {"none": torch.zeros(1)}, {"kind": "encoder", "run": run, "meta": meta})


def read_encoder(folder: Path, run: str) -> tuple[Encoder, Tensor | None]:
    """The encoder that a run, or a committee, was trained with, and what its constant answer is made of.

    Raises CorruptFile where it is another's, InputError where it is gone.
    """
    tensors, payload = checkpoint.read(folder / ENCODER)
    if payload.get("run") != run or payload.get("kind") != "encoder":
        raise CorruptFile(f"{folder / ENCODER} belongs to run {payload.get('run')} ({payload.get('kind')}), not here. Put the right file "
                          "back, or train again.")
    return Encoder.from_state(tensors, payload["meta"]), tensors.get(CONSTANT)


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
        return Chosen.from_json(json.loads(read_plain(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptFile(f"{path} is not what chainrule threshold wrote. Delete it, or choose again.") from None


def write_widths(folder: Path, widths: Tensor, run: str) -> None:
    """Half widths of the intervals of a run's answers. Raises OSError."""
    checkpoint.write(folder / WIDTHS, {"widths": widths.contiguous()}, {"kind": "intervals", "run": run})


def read_widths(folder: Path, run: str) -> Tensor | None:
    """Half widths of the intervals of a run's answers, None where it has none. Raises CorruptFile where they are another's."""
    if not (folder / WIDTHS).exists():
        return None
    tensors, payload = checkpoint.read(folder / WIDTHS)
    if payload.get("run") != run or payload.get("kind") != "intervals":
        raise CorruptFile(f"{folder / WIDTHS} belongs to run {payload.get('run')} ({payload.get('kind')}), not here. Put the right file "
                          "back, or train again.")
    return tensors["widths"]


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
