"""Arrays as sources: in memory, from .npy files, from IDX files with their labels beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.encode import targets
from chainrule.data.readers import arrays, idx, tables
from chainrule.data.readers.gzipped import stem_of
from chainrule.data.source import Source
from chainrule.data.storage import packing


def of_file(path: Path, origin: dict[str, Any], target: str | int | None, stream: bool | None) -> Source:
    """The rows of a .npy file, on disk where they are many; `target` numbers the column that is predicted."""
    at = None if target in (None, "none") else _column_number(target, str(path))
    stored = packing.npy(path, at, stream)
    if stored is None:
        return of_array(arrays.read_npy(path), None, str(path), stem_of(path), origin, target)
    x, column, digest = stored
    task, labels, classes = targets.NOTHING if column is None else targets.of_array(column, len(x), str(path))
    origin = {**origin, "streamed": True, "target": at}
    return Source(stem_of(path), x, labels, task, origin, digest.of(labels, classes), classes)


def _column_number(target: str | int, where: str) -> int:
    if not str(target).lstrip("-").isdigit():
        raise InputError(f"{where} has no names for its columns; --target must number one from 0, not '{target}'.")
    return int(target)


def of_array(values: Any, y: Any, where: str, name: str, origin: dict[str, Any], target: int | str | None = None,
             parts: dict[str, Tensor] | None = None) -> Source:
    """Rows (n, ...) with targets that came apart, or in the column that `target` numbers, or without."""
    x = arrays.of_inputs(values, where)
    if target is not None and target != "none" and y is None:
        at = _column_number(target, where)
        x, y = arrays.column_apart(x, at, where)
        origin = {**origin, "target": at}
    (task, labels, classes), names = (targets.NOTHING, ()) if y is None else of_targets(y, len(x), where)
    return Source(name, x, labels, task, origin, fingerprint.of(x, labels, classes), classes, parts or {}, target_names=names)


def of_targets(y: Any, n: int, where: str) -> tuple[targets.Targets, tuple[str, ...]]:
    """Targets that came apart from their inputs, and what their columns are called where they have names."""
    if not tables.is_frame(y):
        return targets.of_array(y, n, where), ()
    columns = tables.of_frame(y, where).columns if hasattr(y, "columns") else (tables.of_series(y, where),)
    if len(columns[0]) != n:
        raise InputError(f"{where}: expected one target for each of {n} rows; got {len(columns[0])}.")
    name = getattr(y, "name", None)
    return targets.of_columns(columns, where, {}), tuple(c.name for c in columns) if hasattr(y, "columns") else (str(name),) if name else ()


def of_idx(path: Path, origin: dict[str, Any]) -> Source:
    """One IDX file of images, with its labels where they lie beside it."""
    x = idx.pictures(idx.read(path), path)
    labels = idx.labels_beside(path)
    if labels is None:
        return of_array(x, None, str(path), stem_of(path), origin)
    y = idx.read(labels).long()
    if len(y) != len(x):
        raise InputError(f"{path} holds {len(x)} images but {labels} {len(y)} labels. Give files of one set.")
    classes = tuple(map(str, range(int(y.max()) + 1)))
    return Source(stem_of(path), x, y, "class", origin, fingerprint.of(x, y, classes), classes)
