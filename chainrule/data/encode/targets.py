"""What a target column asks for: classes or numbers, decided from its values, and one read as the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import Column, class_name, of_numbers, of_objects
from chainrule.data.source import TargetKind

MOST_CLASSES = 20  # more distinct whole numbers than this are a quantity
BOOLEAN = ("false", "true")
Targets = tuple[TargetKind, Tensor, tuple[str, ...]]


def counts_as_classes(values: np.ndarray) -> bool:
    """Whether numbers are class labels: two distinct whole ones, or up to 20 with ten rows each (five where they run from 0 or 1)."""
    if not len(values) or not np.array_equal(values, np.floor(values)):
        return False
    distinct = np.unique(values)
    if len(distinct) <= 2:
        return True
    runs = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == len(distinct) - 1
    return len(distinct) <= MOST_CLASSES and len(values) >= (5 if runs else 10) * len(distinct)


def of_column(column: Column, where: str) -> Targets:
    """Task, values (n,) and class names of a target column. Raises InputError naming the row whose value is missing or not finite."""
    bad = column.missing if column.categories else ~column.values.isfinite()
    if bool(bad.any()):
        row = int(bad.nonzero()[0, 0])
        came = "nothing" if bool(column.missing[row]) else column.word(row)
        raise InputError(f"{where}, row {row + 1}: the target '{column.name}' must be known and finite; got {came}. "
                         f"{int(bad.sum())} of {len(bad)} rows lack it: fill or remove them.")
    if column.kind == "boolean":
        return "class", column.values.long(), BOOLEAN
    if column.categories:
        present = column.values.unique()
        return ("class", torch.searchsorted(present, column.values), tuple(column.categories[i] for i in present.tolist()))
    if counts_as_classes(column.values.numpy()):
        codes, classes = named(column.values)
        return "class", codes, classes
    return "real", column.values, ()


def of_array(values: object, n: int, where: str) -> Targets:
    """The same for arrays, tensors, lists and one-hot rows; several real columns (n, k) stay columns."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or len(array) != n:
        raise InputError(f"{where}: expected one target for each of {n} rows; got an array of shape {array.shape}.")
    if array.ndim == 2:
        return _of_rows(array, where)
    if array.dtype.kind in "OUSb":
        return of_column(of_objects("y", array.tolist(), where), where)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{where}: expected targets that are numbers, words or yes/no; got {array.dtype}.")
    return of_column(of_numbers("y", array), where)


def _of_rows(array: np.ndarray, where: str) -> Targets:
    if array.dtype.kind not in "iufb":
        raise InputError(f"{where}: expected several targets a row to be numbers; got {array.dtype}. Give one column of words.")
    real = torch.from_numpy(array.astype(np.float64))  # (n, k)
    bad = ~real.isfinite()
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise InputError(f"{where}, row {row + 1}: target number {column + 1} must be finite; got {real[row, column].item()}. Fill or "
                         "remove the row.")
    if real.shape[1] > 1 and bool(((real == 0) | (real == 1)).all()) and bool((real.sum(1) == 1).all()):
        return "class", real.argmax(1), tuple(map(str, range(real.shape[1])))
    return "real", real, ()


def named(values: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers (n,) as codes (n,) of the classes that they name."""
    distinct, codes = values.unique(return_inverse=True)
    return codes, tuple(class_name(v) for v in distinct.tolist())


def as_codes(kind: TargetKind, values: Tensor, classes: Sequence[str], name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Any targets as class codes and names. Raises InputError for several columns."""
    if kind in ("class", "steps"):
        return values, tuple(classes)
    if values.dim() > 1:
        raise InputError(f"{name} has {values.shape[1]} target columns; classes need one. Pick it with --target.")
    return named(values)


def as_numbers(kind: TargetKind, values: Tensor, classes: Sequence[str], name: str) -> Tensor:
    """Any targets as real columns (n, k) float64. Raises InputError where class names are not numbers."""
    if kind != "class":
        return values.double().reshape(len(values), -1)
    try:
        numbers = [0.0, 1.0] if tuple(classes) == BOOLEAN else [float(c) for c in classes]
    except ValueError:
        raise InputError(f"expected targets that are numbers; {name} has the classes {', '.join(classes[:5])}. "
                         "Use a rule and loss for classes, or name a numeric column with --target.") from None
    return torch.tensor(numbers, dtype=torch.float64)[values][:, None]
