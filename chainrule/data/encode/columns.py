"""A table as chainrule holds it: named columns of numbers, yes/no values or category codes, missing values marked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.column_names import place

MANY, MISFITS = 10, 20  # categories that show what a column holds; one word in so many is out of place
LARGEST = float(torch.finfo(torch.float32).max)  # what a network, in single precision, can read

Kind = Literal["numeric", "boolean", "categorical", "ordered", "date", "text"]
WORDED: tuple[Kind, ...] = ("categorical", "text")  # of which each value stands for itself


@dataclass(frozen=True)
class Column:
    """`values` (n,): float64 with NaN where missing (numeric, boolean, date), or int64 codes into `categories` with -1 where missing.

    A date is in days since 1970; each text is a category of its own.
    """

    name: str
    kind: Kind
    values: Tensor
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> Tensor:
        """Which rows lack a value, (n,) bool."""
        return self.values.isnan() if self.values.is_floating_point() else self.values < 0

    def take(self, rows: Tensor) -> Column:
        return Column(self.name, self.kind, self.values.index_select(0, rows), self.categories)

    def word(self, row: int) -> str:
        """The value of a row as a user would write it."""
        value = self.values[row].item()
        if self.kind == "date" and math.isfinite(value):
            return str(np.array(value * 86_400).round().astype("datetime64[s]")).removesuffix("T00:00:00")
        return self.categories[int(value)] if self.categories else class_name(value)


@dataclass(frozen=True)
class Table:
    """Columns of one length, in the order of the file."""

    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def __getitem__(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    def take(self, rows: Tensor) -> Table:
        return Table(tuple(c.take(rows) for c in self.columns))

    def without(self, names: Iterable[str]) -> Table:
        gone = set(names)
        return Table(tuple(c for c in self.columns if c.name not in gone))

    def find(self, name: str | int, where: str, option: str) -> Column:
        """The column called `name`, or numbered so from 0. Raises InputError offering the nearest."""
        return self.columns[place(self.names, name, where, option)]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def class_name(value: float) -> str:
    """A number as the name of a class: 3 and 3.0 are both '3'."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(int(value)) if value == int(value) else repr(float(value))


def in_order(words: Iterable[str]) -> list[str]:
    """Sorted as numbers where all are numbers, else by letter."""
    words = list(words)
    try:
        return sorted(words, key=lambda word: (float(word), word))  # two words may be one number, as 1 and 1.0, or ids of 64 bits
    except ValueError:
        return sorted(words)


def of_numbers(name: str, values: np.ndarray) -> Column:
    return Column(name, "numeric", torch.from_numpy(np.array(values, dtype=np.float64)))


def of_booleans(name: str, values: np.ndarray) -> Column:
    return Column(name, "boolean", torch.from_numpy(np.array(values, dtype=np.float64)))


def of_words(name: str, values: Sequence[Any], order: Sequence[str] | None = None) -> Column:
    """Categories from words; None and NaN are missing. With `order` they are ordered as it says."""
    words = [None if v is None or v != v else class_name(v) if isinstance(v, float) else str(v) for v in values]
    categories = tuple(order) if order is not None else tuple(in_order({w for w in words if w is not None}))
    code: dict[str | None, int] = {w: i for i, w in enumerate(categories)}
    code[None] = -1
    codes = torch.tensor([code[w] for w in words], dtype=torch.int64)
    return Column(name, "categorical" if order is None else "ordered", codes, categories)


def of_objects(name: str, values: Sequence[Any], where: str) -> Column:
    """A column from Python objects: all yes/no, all numbers, or words. Raises InputError on anything else."""
    present = [v for v in values if v is not None and v == v]
    if present and all(isinstance(v, (bool, np.bool_)) for v in present):
        return of_booleans(name, np.array([np.nan if v is None or v != v else float(v) for v in values]))
    if all(isinstance(v, (int, float, np.number)) for v in present):
        return of_numbers(name, np.array([np.nan if v is None or v != v else float(v) for v in values]))
    for row, value in enumerate(values):
        if value is not None and value == value and not isinstance(value, (str, bool, int, float, np.generic)):
            raise InputError(f"{where}, row {row + 1}, column '{name}': expected a number, a word or yes/no; got {type(value).__name__}. "
                             "Flatten it into columns of its own.")
    return of_words(name, [v if v is None or isinstance(v, (str, float)) else str(v) for v in values])


def refuse_infinite(table: Table, where: str, first: int = 0) -> None:
    """Raises InputError naming the row (from 1, below the header) and column of the first number that is infinite or too large.

    `first` rows precede. Too large is what single precision cannot hold: one such number would make all others of its column alike.
    """
    for column in table.columns:
        large = np.abs(column.values.numpy()) > LARGEST  # (n,), many times faster than torch's; false of a gap
        if large.any():
            row = int(large.argmax())
            raise InputError(f"{where}, row {first + row + 1}, column '{column.name}': expected {finite(float(column.values[row]))}. "
                             "Correct it, or leave it empty if it is missing.")


def finite(value: float) -> str:
    """What was expected and what came, for a number that is infinite, missing or too large."""
    if math.isfinite(value):
        return f"a number of at most {LARGEST:.2g} in size, the largest that single precision holds; got {value:.6g}"
    return f"a finite number; got {value}"
