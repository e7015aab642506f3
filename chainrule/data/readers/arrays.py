"""Arrays in memory and in .npy and .npz files, never unpickled, their headers checked before anything is allocated."""

from __future__ import annotations

import io
import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.text import first_line
from chainrule.data.encode.columns import LARGEST, finite
from chainrule.data.memory import afford
from chainrule.data.readers.gzipped import refuse_flood

INPUTS = ("x", "data", "inputs", "images", "features")
TARGETS = ("y", "target", "targets", "labels", "label")
UNREADABLE = (ValueError, KeyError, TypeError, EOFError, SyntaxError, RecursionError, tokenize.TokenError, AttributeError)
NO_HEADER = (*UNREADABLE, MemoryError)     # what reading literals of Python may raise where there are none, for want of a stack too
TIMES = 3        # how much memory reading an array takes, by its bytes: 1.0 of .npy, 2.8 of .npz, measured on 2026-12-01
PART = re.compile(r"^(?:(train|valid|val|test)_(\w+)|(\w+)_(train|valid|val|test))$", re.IGNORECASE)


def of_inputs(values: Any, where: str) -> Tensor:
    """Rows of numbers as a tensor (n, ...); images get their channel axis in second place. Raises InputError naming row and feature."""
    x = as_held(values, where)
    refuse_nonfinite(x, where)
    return x


def as_held(values: Any, where: str) -> Tensor:
    """The same without a look at the values: `uint8` stays, yes/no becomes `uint8`, other numbers stay float or become float64."""
    if isinstance(values, Tensor):
        x = values.detach().cpu()
        if x.is_complex():
            raise InputError(f"{where}: expected real numbers; got {x.dtype}.")
        x = x.to(torch.uint8) if x.dtype == torch.bool else x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "iufb":
            raise InputError(f"{where}: expected numbers; got an array of {array.dtype}. Give a data frame or a file for words.")
        kind = np.uint8 if array.dtype in (np.bool_, np.uint8) else np.float32 if array.dtype in (np.float16, np.float32) else np.float64
        array = np.ascontiguousarray(array, kind)
        x = torch.from_numpy(array if array.flags.writeable else array.copy())
    if x.dim() < 2:
        raise InputError(f"{where}: expected rows of features (n, features) or images; got shape {tuple(x.shape)}. Use reshape(-1, 1) "
                         "for one feature.")
    if not x.numel():
        raise InputError(f"{where} holds no values (shape {tuple(x.shape)}); expected at least one row.")
    if not x.is_floating_point() and x.dtype != torch.uint8:
        x = x.double()
    return _channels_second(x)


def refuse_nonfinite(x: Tensor, where: str, first: int = 0) -> None:
    """Raises InputError naming the first row (from 1, `first` rows precede) and feature that is NaN, infinite or too large."""
    if not x.is_floating_point() or all(abs(float(extreme)) <= LARGEST for extreme in x.aminmax()):  # NaN passes through aminmax
        return
    for start in range(0, len(x), 4096):
        bad = ~(x[start : start + 4096].flatten(1).abs() <= LARGEST)
        if bool(bad.any()):
            row, feature = bad.nonzero()[0].tolist()
            value = x[start + row].flatten()[feature].item()
            raise InputError(f"{where}, row {first + start + row + 1}, feature {feature + 1}: expected {finite(value)}. "
                             "Fill in or remove missing values; a table (CSV, data frame) has them filled for you.")


def _channels_second(x: Tensor) -> Tensor:
    """uint8 (n, h, w) -> (n, 1, h, w); (n, h, w, c) -> (n, c, h, w) where only the last axis can be the channels."""
    if x.dim() == 3 and x.dtype == torch.uint8:
        return x.unsqueeze(1)
    if x.dim() == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return x.permute(0, 3, 1, 2).contiguous()
    return x


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises CorruptFile where the header and the size of the file disagree, or it holds objects."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            read_header(file, size, str(path))
            afford(TIMES * size, f"reading {path}")
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except InputError:
        raise
    except UNREADABLE as error:
        raise CorruptFile(f"{path} is damaged or no .npy file: {first_line(error)}. Fetch it again.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None


def read_header(file: BinaryIO, size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type; raises CorruptFile unless just as many bytes follow, and no Python objects."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, columns_first, dtype = read(file)
    except NO_HEADER as error:
        raise CorruptFile(f"{where}: expected an npy header at offset 0; {first_line(error)}. The file is damaged or of "
                          "another kind.") from None
    if dtype.hasobject or dtype.names:
        raise InputError(f"{where} holds Python objects or records, which could run code or have no one meaning. Save plain numbers or "
                         "words (dtype U).")
    begin, declared = file.tell(), math.prod(shape) * dtype.itemsize
    if any(s < 0 for s in shape) or declared != size - begin:
        raise CorruptFile(f"{where}: the header declares shape {shape}, {declared:,} bytes from offset {begin}; {size - begin:,} are "
                          "there. Fetch it again.")
    return shape, columns_first, dtype


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file. Raises CorruptFile on a damaged archive and on one that would flood the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if e.filename.endswith(".npy")]
            total = sum(e.file_size for e in entries)
            refuse_flood(path, total, path.stat().st_size)
            afford(TIMES * total, f"reading {path}")
            arrays = {}
            for entry in entries:
                where = f"{path}, array '{entry.filename.removesuffix('.npy')}'"
                with archive.open(entry) as file:
                    read_header(file, entry.file_size, where)  # type: ignore[arg-type]
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *UNREADABLE) as error:
        raise CorruptFile(f"{path} is damaged or not an .npz archive: {error}. Fetch it again.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    return arrays


def roles(arrays: dict[str, np.ndarray], path: Path, target: str | int | None) -> tuple[np.ndarray, np.ndarray | None, dict[str, Tensor]]:
    """Inputs, targets and given parts of an .npz: `x y`, `data target`, `x_train y_train x_test y_test`, `train_images ...`."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        match = PART.match(key)
        part, what = ("", key) if not match else (match[1] or match[4], match[2] or match[3])
        part = {"val": "valid"}.get(part.lower(), part.lower())
        is_target = target in (key, what) or (target is None and what.lower() in TARGETS)
        role = "y" if is_target else "x" if what.lower() in INPUTS else ""
        if role:
            parts.setdefault(part, {})[role] = array
    used = [p for p in ("train", "valid", "test") if "x" in parts.get(p, {})] or [p for p in ("",) if "x" in parts.get(p, {})]
    if not used:
        raise InputError(f"{path} holds {', '.join(arrays) or 'no arrays'}; expected inputs called {' or '.join(INPUTS[:3])} "
                         f"and targets called {' or '.join(TARGETS[:2])}. Save it with numpy.savez(file, x=..., y=...).")
    if isinstance(target, str) and target != "none" and not any("y" in parts[p] for p in used):
        raise InputError(f"{path} has no array '{target}'; it holds {', '.join(arrays)}. Name one with --target.")
    x = [parts[p]["x"] for p in used]
    y = [parts[p]["y"] for p in used if "y" in parts[p]]
    if y and len(y) < len(used):
        raise InputError(f"{path} holds targets for only some of {', '.join(used)}; expected them for all.")
    rows_of, at = {}, 0
    for part, values in zip(used, x):
        if part in ("valid", "test"):
            rows_of[part] = torch.arange(at, at + len(values))
        at += len(values)
    if len({(v.shape[1:], v.dtype) for v in x}) > 1:
        raise InputError(f"{path}: the parts differ in shape or type: {', '.join(f'{p} {v.dtype} {v.shape}' for p, v in zip(used, x))}.")
    return (x[0] if len(x) == 1 else np.concatenate(x)), (None if not y else y[0] if len(y) == 1 else np.concatenate(y)), rows_of


def column_apart(x: Tensor, target: int, where: str) -> tuple[Tensor, np.ndarray]:
    """Rows (n, d) as inputs (n, d - 1) and the column numbered `target` from 0 as targets."""
    at = place_of(x.shape, target, where)
    return torch.cat([x[:, :at], x[:, at + 1 :]], 1), x[:, at].double().numpy()


def place_of(shape: Sequence[int], target: int, where: str) -> int:
    """The column numbered `target`, from 0, or from the end if negative. Raises InputError where that cannot be the target."""
    if len(shape) != 2 or not -shape[1] <= target < shape[1] or shape[1] < 2:
        raise InputError(f"{where} has shape {tuple(shape)}; column {target} cannot be its target. Count from 0, or give targets of "
                         "their own.")
    return target % shape[1]
