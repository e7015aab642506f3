"""What a target column asks for: classes or numbers, decided from its values, and one read as the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import LARGEST, Column, class_name, finite, of_numbers, of_objects
from chainrule.data.source import TargetKind

AS_CLASSES = "different whole numbers and is predicted as classes"
AS_NUMBER = "different whole numbers and is predicted as a number"
MOST_CLASSES = 20  # more distinct whole numbers than this are a quantity
BOOLEAN = ("false", "true")
SEVERAL = ("|", ";", ",")  # what may join labels
Targets = tuple[TargetKind, Tensor | None, tuple[str, ...]]
NOTHING: Targets = ("none", None, ())


def counts_as_classes(values: np.ndarray) -> bool:
    """Whether numbers are class labels: two distinct whole ones, or up to 20 with ten rows each (five where they run from 0 or 1)."""
    if not len(values) or not np.array_equal(values, np.floor(values)):
        return False
    distinct = np.unique(values)
    if len(distinct) <= 2:
        return True
    runs = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == len(distinct) - 1
    return len(distinct) <= MOST_CLASSES and len(values) >= (5 if runs else 10) * len(distinct)


def of_column(column: Column, where: str, declared: str | None = None) -> Targets:
    """Task, values (n,) and class names of a target column; `declared` number or word overrides what its values look like.

    Raises InputError naming the row whose value is missing or not finite, for dates, and for several labels in a row.
    """
    if column.kind == "date":
        raise InputError(f"{where}: the target '{column.name}' holds dates; expected classes or numbers. Make numbers of it, such as "
                         "days until then, or name another with --target.")
    bad = column.missing if column.categories else ~(column.values.abs() <= LARGEST)
    if bool(bad.any()):
        row = int(bad.nonzero()[0, 0])
        if not bool(column.missing[row]):
            raise InputError(f"{where}, row {row + 1}, target '{column.name}': expected {finite(float(column.values[row]))}. Correct it.")
        raise InputError(f"{where}, row {row + 1}: the target '{column.name}' must be known and finite; got nothing. "
                         f"{int(bad.sum())} of {len(bad)} rows lack it: fill them, or remove them (of a table, with --drop-unlabelled).")
    if column.kind == "boolean":
        return "class", column.values.long(), BOOLEAN
    if column.categories:
        if declared != "exact":
            _refuse_several(column, where)
        present = column.values.unique()
        return ("class", torch.searchsorted(present, column.values), tuple(column.categories[i] for i in present.tolist()))
    if declared != "number" and counts_as_classes(column.values.numpy()):
        codes, classes = named(column.values)
        return "class", codes, classes
    return "real", column.values, ()


def of_columns(columns: Sequence[Column], where: str, declared: Mapping[str, str]) -> Targets:
    """Task, values (n,) and class names of one target column; of several, which hold numbers, values (n, k); of none, nothing.

    `declared` says what kind a column is, by name. Raises InputError as `of_column`, and where one of several holds classes.
    """
    if not columns:
        return NOTHING
    each = [of_column(column, where, declared.get(column.name)) for column in columns]
    if len(columns) == 1:
        return each[0]
    names = ",".join(column.name for column in columns)
    for column, (_, _, classes) in zip(columns, each, strict=True):
        if column.categories or column.kind == "boolean" or declared.get(column.name) in ("word", "exact"):
            raise InputError(f"{where}: --target {names} names several columns, which are predicted together as numbers; '{column.name}' "
                             f"holds classes ({', '.join(classes[:3])}). Train a run for it, the other targets left out with --columns "
                             f"{next(c.name for c in columns if c is not column)}:out.")
    return "real", torch.stack([column.values for column in columns], 1), ()


def _refuse_several(column: Column, where: str) -> None:
    """Raises InputError where a target holds several labels in a row."""
    word, labels = several_labels(column.categories)
    if word:
        raise InputError(f"{where}: the target '{column.name}' holds several labels in a row ('{word}'); expected one class each. Make a "
                         f"column of yes and no for each label ({', '.join(labels[:3])}) and train a run for each, or write --columns "
                         f"{column.name}:exact to take each combination for a class.")


def several_labels(words: Sequence[str]) -> tuple[str, list[str]]:
    """A word that joins several labels by one mark, and these; empty where none does.

    That is so where the parts of joined words come back in other words, or all those of a word stand alone as well.
    """
    for mark in SEVERAL:
        parts = [[p.strip() for p in word.split(mark)] for word in words]
        joined = [p for p in parts if len(p) > 1 and all(p)]
        alone = {p[0] for p in parts if len(p) == 1}
        uses = Counter(label for p in parts for label in set(p))
        shared = len(joined) >= 2 and len(uses) < len(parts) + len(joined) and 2 * sum(n > 1 for n in uses.values()) > len(uses)
        if shared or any(set(p) <= alone for p in joined):
            first = joined[0] if shared else next(p for p in joined if set(p) <= alone)
            return words[parts.index(first)], first
    return "", []


def target_notes(columns: Sequence[Column], kind: TargetKind, declared: Mapping[str, str]) -> list[str]:
    """What is said of targets of whole numbers, which may be classes or amounts, unless the user said which."""
    return [note for column in columns for note in _note(column, kind, len(columns) > 1)
            if not (column.categories or column.kind == "boolean" or column.name in declared)]


def _note(column: Column, kind: TargetKind, several: bool) -> list[str]:
    different = len(column.values.unique())
    if kind == "class" and different > 2:
        return [f"'{column.name}' holds {different} {AS_CLASSES}; --columns {column.name}:number predicts it as a number."]
    whole = bool((column.values == column.values.floor()).all())
    if kind == "real" and whole and different <= MOST_CLASSES:
        other = "a run of its own predicts it as" if several else f"--columns {column.name}:word predicts it as"
        return [f"'{column.name}' holds {different} {AS_NUMBER}; {other} classes."]
    return []


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
    bad = ~(real.abs() <= LARGEST)
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise InputError(f"{where}, row {row + 1}: target number {column + 1}: expected {finite(real[row, column].item())}. "
                         "Fill or remove the row.")
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
