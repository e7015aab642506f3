"""Checkpoints that know whether they are whole: one safetensors file whose header carries a SHA-256 over all it says.

Neither safetensors nor torch notices a flipped bit. Here the header's metadata holds `payload` (JSON) and `sha256`, taken over
the payload and over every tensor's name, type, shape and bytes, so one file, and therefore one rename, is the unit of truth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.files import read_plain, write_atomically
from chainrule.core.schema import as_type, intelligible

FORMAT = 1
REMEDY = "Use the one before it, or train again."
SHOWN = 8          # tensors that do not fit, in one message


@dataclass(frozen=True)
class Head:
    """The metadata of the one file."""

    payload: str
    sha256: str


def pack(tree: Any, prefix: str) -> dict[str, Tensor]:
    """The tensors of nested dicts under dotted names."""
    if isinstance(tree, Tensor):
        return {prefix: tree}
    flat: dict[str, Tensor] = {}
    for key, value in tree.items():
        flat.update(pack(value, f"{prefix}/{key}"))
    return flat


def unpack(flat: dict[str, Tensor], like: Any, prefix: str, where: Path | str = "The checkpoint") -> Any:
    """The tree shaped as `like` from `flat`, whole or not at all. Raises InputError naming the tensors that are missing, misshapen or left
    over."""
    wanted = pack(like, prefix)
    wrong = [f"there is no '{name}'" if name not in flat else f"'{name}' has shape {tuple(flat[name].shape)} and not {tuple(t.shape)}"
             for name, t in wanted.items() if name not in flat or flat[name].shape != t.shape]
    wrong += [f"'{name}' has no place" for name in flat if name.startswith(f"{prefix}/") and name not in wanted]
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise InputError(f"{where} does not fit: {'; '.join(wrong[:SHOWN])}{more}. It belongs to another net or rule; start a new run.")
    return _tree(flat, like, prefix)


def _tree(flat: dict[str, Tensor], like: Any, prefix: str) -> Any:
    return flat[prefix] if isinstance(like, Tensor) else {key: _tree(flat, value, f"{prefix}/{key}") for key, value in like.items()}


def write(path: Path, tensors: dict[str, Tensor], payload: dict[str, Any], keep: Path | None = None) -> None:
    """Save atomically; with `keep`, the file that was at `path` stays under that name. Raises OSError."""
    tensors, storages = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}, set()
    for name, t in tensors.items():
        where = t.untyped_storage().data_ptr()
        tensors[name] = t.clone() if where in storages else t  # the format has no tensors that share memory
        storages.add(where)
    pairs = [name for name, t in tensors.items() if t.dtype == torch.complex128]  # nor such numbers: they are stored as pairs of real ones
    tensors |= {name: torch.view_as_real(tensors[name]) for name in pairs}
    text = json.dumps({"format": FORMAT, **payload, **({"pairs": pairs} if pairs else {})})
    content = save(tensors, metadata={"payload": text, "sha256": _digest(text, tensors)})
    write_atomically(path, content, keep)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and payload, every byte vouched for. Raises CorruptFile naming the file, InputError where it cannot be read."""
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise InputError(f"There is no checkpoint at {path}. Give the folder of a run that trained.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Make it readable, or restore it from a copy.") from None
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        head = as_type(Head, json.loads(content[8 : 8 + size])["__metadata__"])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFile(f"{path} is not a whole checkpoint ({error}). {REMEDY}") from None
    with intelligible(path, REMEDY):
        if _digest(head.payload, tensors) != head.sha256:
            raise CorruptFile(f"{path} does not match its SHA-256: bytes changed since it was saved. {REMEDY}")
        payload: dict[str, Any] = as_type(dict, json.loads(head.payload))
        if payload.get("format") != FORMAT:
            raise InputError(f"{path} has format {payload.get('format')}; this version reads format {FORMAT}. "
                             "Use the version of chainrule that wrote it.")
        tensors |= {name: torch.view_as_complex(tensors[name]) for name in as_type(list[str], payload.pop("pairs", []))}
    return tensors, payload


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        t = tensors[name].contiguous()
        digest.update(json.dumps([name, str(t.dtype), list(t.shape)]).encode())
        digest.update(memoryview(t.reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()
