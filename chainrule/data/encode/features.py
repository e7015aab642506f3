"""Columns of a table as numbers a network reads: scaled, filled in, one-hot; every statistic from the training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data.encode.columns import Column, Kind, Table, class_name
from chainrule.data.storage.stored import StoredTable

Range = Literal["standard", "unit"]
MOST_CATEGORIES = 256
FREE_TEXT = 50  # with more distinct words than this, and most rows distinct, a column is names or free text


def scaling(centre: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """(x - centre) * factor: the factor is 1 / spread, and 0 where there is no spread."""
    return centre, torch.where(spread > 0, 1 / spread, torch.zeros_like(spread))


@dataclass(frozen=True)
class Moments:
    """What rows say of each feature: how many they are, extremes, mean and mean squared deviation, each (d,) float64 or scalar.

    Those of two sets of rows make those of both: Chan, Golub & LeVeque (1983), https://doi.org/10.1080/00031305.1983.10483115
    """

    count: int
    low: Tensor
    high: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        """Of rows (n, d) or (n,), at least one."""
        low, high = values.aminmax(dim=0)
        chunks = values.split(65536)
        mean = sum((c.double().sum(0) for c in chunks), torch.zeros(values.shape[1:], dtype=torch.float64)) / len(values)
        square = sum(((c.double() - mean).square().sum(0) for c in chunks), torch.zeros_like(mean)) / len(values)
        return cls(len(values), low.double(), high.double(), mean, square)

    def with_(self, other: Moments) -> Moments:
        count = self.count + other.count
        share, apart = other.count / count, other.mean - self.mean
        return Moments(count, torch.minimum(self.low, other.low), torch.maximum(self.high, other.high), self.mean + apart * share,
                       self.square * (1 - share) + other.square * share + apart.square() * (share * (1 - share)))

    def scaling(self, range: Range) -> tuple[Tensor, Tensor]:
        """Centre and factor per feature: mean and sd for `standard`, minimum and extent for `unit`."""
        if range == "unit":
            return scaling(self.low, self.high - self.low)
        return scaling(self.mean, torch.where(self.high > self.low, self.square.sqrt(), torch.zeros_like(self.square)))


class Summary:
    """What the rows seen so far say of one column: how many, how many lack a value, how often each word, or moments."""

    def __init__(self, name: str, kind: Kind, categories: tuple[str, ...]):
        self.name, self.kind, self.categories = name, kind, categories
        self.n = self.absent = 0
        self.counts = torch.zeros(len(categories), dtype=torch.int64)  # (categories,)
        self.known: Moments | None = None

    def add(self, column: Column) -> Summary:
        missing = column.missing
        absent = int(missing.sum())
        self.n, self.absent = self.n + len(column), self.absent + absent
        if self.kind == "categorical":
            self.counts += torch.bincount(column.values[~missing] if absent else column.values, minlength=len(self.categories))
        elif absent < len(column):
            values = _as_numbers(column)
            more = Moments.of(values[~missing] if absent else values)
            self.known = more if self.known is None else self.known.with_(more)
        return self


@dataclass(frozen=True)
class Fitted:
    """How one column is read. `indicator` adds an output that says where a value was missing."""

    name: str
    kind: Kind
    indicator: bool = False
    categories: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        values = tuple(f"{self.name}={c}" for c in self.categories) if self.kind == "categorical" else (self.name,)
        return (*values, f"{self.name} is missing") if self.indicator else values


@dataclass(frozen=True)
class Features:
    """A fitted reading of a table: `scale` (columns, 3) holds centre, factor and what stands in for a missing value."""

    columns: tuple[Fitted, ...]
    scale: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        """What each encoded number is, (d,)."""
        return tuple(name for column in self.columns for name in column.outputs)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]], scale: Tensor) -> Features:
        return cls(tuple(Fitted(**{**c, "categories": tuple(c["categories"])}) for c in columns), scale)

    @classmethod
    def fit(cls, table: Table | StoredTable, rows: Tensor, range: Range) -> tuple[Features, list[str]]:
        """Learn from `rows` of the table alone; the notes say in sentences what was filled in or left out."""
        columns, scale, notes = [], [], []
        for seen in _summaries(table, rows):
            if seen.kind == "categorical":
                kept, note = _categories(seen)
                if note:
                    notes.append(note)
                if not kept:
                    continue
                columns.append(Fitted(seen.name, "categorical", seen.absent > 0, kept))
                scale.append(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
                continue
            if seen.known is None:
                notes.append(f"'{seen.name}' has no value in any training row and was left out.")
                continue
            centre, factor = seen.known.scaling(range)
            if seen.kind == "boolean" or (seen.kind == "ordered" and range == "unit"):
                centre, factor = torch.zeros_like(centre), torch.ones_like(factor)
            columns.append(Fitted(seen.name, seen.kind, seen.absent > 0, seen.categories))
            scale.append(torch.stack([centre, factor, seen.known.mean]))
            if seen.absent:
                notes.append(f"'{seen.name}' is missing in {seen.absent} of {seen.n} training rows: the mean {seen.known.mean:.4g} stands "
                             "in, and an input of its own says so.")
        if not columns:
            raise InputError("no input column is left to learn from: all are empty or free text. Give columns of numbers or categories.")
        return cls(tuple(columns), torch.stack(scale)), notes

    def check(self, table: Table | StoredTable, where: str, apart: tuple[str, ...], say: Callable[[str], None]) -> None:
        """Raises InputError where columns are absent; tells `say` of those it does not read, unless their names are in `apart`."""
        names = [c.name for c in self.columns]
        absent = [n for n in names if n not in table.names]
        strange = [n for n in table.names if n not in names and n not in apart]
        if absent:
            hint = suggest(absent[0], strange).replace("Did you mean", "Is it there as") if strange else "Add it."
            raise InputError(f"{where} lacks {len(absent)} of the {len(names)} columns that training read: "
                             f"{', '.join(map(repr, absent[:5]))}. {hint}")
        if strange:
            said = f"the column '{strange[0]}'" if len(strange) == 1 else f"{len(strange)} columns ({', '.join(map(repr, strange[:5]))})"
            say(f"{where} has {said} that training did not read; passed over.")

    def encode(self, table: Table, rows: Tensor | None, where: str) -> Tensor:
        """The rows (all if None) of a table that was checked as float32 (n, d). Raises InputError where a column is of another kind."""
        n = len(table) if rows is None else len(rows)
        out = torch.zeros(n, len(self.names), dtype=torch.float32)  # (n, d)
        at = 0
        for fitted, scale in zip(self.columns, self.scale):
            column = table[fitted.name] if rows is None else table[fitted.name].take(rows)
            _encode_column(fitted, scale, _read_as(column, fitted, where), out[:, at : at + len(fitted.outputs)])
            at += len(fitted.outputs)
        return out


def _summaries(table: Table | StoredTable, rows: Tensor) -> Iterator[Summary]:
    """Of each column over these rows: column by column in memory, all at once in one pass over what is on disk."""
    if isinstance(table, Table):
        for column in table.columns:
            yield Summary(column.name, column.kind, column.categories).add(column.take(rows))
        return
    found = [Summary(c.name, c.kind, c.categories) for c in table.columns]
    for piece in table.pieces(rows):
        for seen, column in zip(found, piece.columns, strict=True):
            seen.add(column)
    yield from found


def _encode_column(fitted: Fitted, scale: Tensor, column: Column, out: Tensor) -> None:
    missing = column.missing
    if fitted.kind == "categorical":
        place = {c: i for i, c in enumerate(fitted.categories)}
        to = torch.tensor([place.get(c, -1) for c in column.categories] + [-1])  # the last entry serves the code -1
        codes = to[column.values]
        seen = codes >= 0
        out[seen.nonzero()[:, 0], codes[seen]] = 1
    else:
        centre, factor, fill = scale
        values = _as_numbers(column)
        out[:, 0] = ((torch.where(missing, fill, values) - centre) * factor).float()
    if fitted.indicator:
        out[:, -1] = missing.float()


def _as_numbers(column: Column) -> Tensor:
    """Values (n,) float64; ordered categories as ranks in [0, 1]; NaN where missing."""
    if column.kind != "ordered":
        return column.values
    return torch.where(column.missing, torch.nan, column.values.double() / max(len(column.categories) - 1, 1))


def _categories(column: Summary) -> tuple[tuple[str, ...], str]:
    """The words to give an input each, and a note where some or all are left out."""
    seen, present = int((column.counts > 0).sum()), column.n - column.absent
    if seen == 0:
        return (), f"'{column.name}' has no value in any training row and was left out."
    if seen > max(FREE_TEXT, present // 2):
        note = f"'{column.name}' holds {seen} different words in {present} training rows, as names or free text do, and was left out."
        return (), note
    if seen > MOST_CATEGORIES:
        kept = column.counts.argsort(descending=True, stable=True)[:MOST_CATEGORIES].sort().values.tolist()
        note = f"'{column.name}' has {seen} categories: the {MOST_CATEGORIES} most frequent got an input each, the others none."
        return tuple(column.categories[i] for i in kept), note
    return tuple(column.categories[i] for i in column.counts.nonzero()[:, 0].tolist()), ""


def _read_as(column: Column, fitted: Fitted, where: str) -> Column:
    """A column of new data as the kind that training saw. Raises InputError naming the row that does not fit."""
    if column.kind == fitted.kind and (fitted.kind != "ordered" or column.categories == fitted.categories):
        return column
    if fitted.kind in ("categorical", "ordered"):
        words = column.categories
        codes = column.values
        if not words:
            distinct, codes = column.values.unique(return_inverse=True)
            words = tuple(("false", "true")[int(v)] if column.kind == "boolean" and v == v else class_name(v) for v in distinct.tolist())
            codes = torch.where(column.missing, -1, codes)
        if fitted.kind == "categorical":
            return Column(column.name, "categorical", codes, words)
        strange = [w for i, w in enumerate(words) if w not in fitted.categories and bool((codes == i).any())]
        if strange:
            raise InputError(f"{where}: column '{column.name}' holds '{strange[0]}'; training knew {', '.join(fitted.categories)}.")
        to = torch.tensor([fitted.categories.index(w) if w in fitted.categories else -1 for w in words] + [-1])
        return Column(column.name, "ordered", to[codes], fitted.categories)
    if column.categories:
        known = (~column.missing).nonzero()
        if len(known):
            row = int(known[0, 0])
            raise InputError(f"{where}, row {row + 1}, column '{column.name}': expected "
                             f"{'a number' if fitted.kind == 'numeric' else 'yes or no'} "
                             f"as in training; got '{column.word(row)}'.")
        return Column(column.name, fitted.kind, torch.full((len(column),), torch.nan, dtype=torch.float64))
    return Column(column.name, fitted.kind, column.values)
