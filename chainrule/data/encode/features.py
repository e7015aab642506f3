"""Columns of a table as numbers a network reads: scaled, filled in, one-hot; every statistic from the training rows alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.core.text import counted, shown
from chainrule.core.traits import Range
from chainrule.data.dates import PARTS, Part, part_of, turn
from chainrule.data.encode import words
from chainrule.data.encode.columns import WORDED, Column, Kind, Table, class_name
from chainrule.data.encode.flattened import flattened
from chainrule.data.encode.moments import Moments
from chainrule.data.encode.targets import several_labels
from chainrule.data.formats import folded
from chainrule.data.storage.stored import StoredTable

FEWEST_INPUTS, MOST_INPUTS = 256, 4096  # that a column of words may have: as many as its memory allows, within these bounds
ONE_HOT_BYTES = 2**28
HASHES = 2      # inputs that stand for a word which has none of its own
NAMES = 50      # with more distinct words than this, and most rows distinct, a column is names
SHOWN = 10      # names of columns in one note
FEWEST_NAMES = 10  # rows that each have a word of their own: those are names


class Summary:
    """What the rows seen so far say of one column: how many, how many lack a value, how often each word, or moments."""

    def __init__(self, name: str, kind: Kind, categories: tuple[str, ...]):
        self.name, self.kind, self.categories = name, kind, categories
        self.n = self.absent = 0
        self.counts = torch.zeros(len(categories), dtype=torch.int64)  # (categories,)
        self.known: Moments | None = None
        self.extent = dict.fromkeys(PARTS, (math.inf, -math.inf)) if kind == "date" else {}

    def add(self, column: Column) -> Summary:
        missing = column.missing
        absent = int(missing.sum())
        self.n, self.absent = self.n + len(column), self.absent + absent
        if self.kind in WORDED:
            self.counts += torch.bincount(column.values[~missing] if absent else column.values, minlength=len(self.categories))
        elif absent < len(column):
            values = _as_numbers(column)
            values = values[~missing] if absent else values
            more = Moments.of(values)
            self.known = more if self.known is None else self.known.with_(more)
            for part, (low, high) in self.extent.items():
                places = part_of(values, part)
                self.extent[part] = min(low, float(places.min())), max(high, float(places.max()))
        return self

    @property
    def constant(self) -> bool:
        """Whether every row has the one value, so that nothing can be learned from it."""
        if self.absent or not self.n or self.kind == "text":
            return False
        if self.kind == "categorical":
            return int((self.counts > 0).sum()) == 1
        return self.known is not None and bool(self.known.low == self.known.high)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a date that differ between rows."""
        return tuple(part for part, (low, high) in self.extent.items() if high > low)


@dataclass(frozen=True)
class Fitted:
    """How one column is read. `indicator` adds an output that says where a value was missing.

    Of words, `categories` have an input each, and `rare` ones stand on HASHES of `shared` inputs. Of texts these are the words in them: the
    former are in so many (`counts`) of so many `rows`, the rare ones stand with all unknown words on one input. Of dates, the time and
    the `parts` are read, each as sine and cosine of its place in a turn.
    """

    name: str
    kind: Kind
    indicator: bool = False
    categories: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    shared: int = 0
    parts: tuple[Part, ...] = ()
    counts: tuple[int, ...] = ()
    rows: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        values: tuple[str, ...] = (self.name, *(f"{self.name}: {wave} of the {part}" for part in self.parts for wave in ("sine", "cosine")))
        if self.kind == "categorical":
            values = (*(f"{self.name}={c}" for c in self.categories), *(f"{self.name}: shared input {i + 1}" for i in range(self.shared)))
        if self.kind == "text":
            values = (*(f"{self.name}: {word}" for word in self.categories), f"{self.name}: unknown words")
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

    def affine(self) -> tuple[Tensor, Tensor]:
        """Centre and factor (d,) float64 by which each encoded number is made: (value - centre) * factor."""
        pairs = [torch.tensor([[0.0, 1.0]], dtype=torch.float64).repeat(len(column.outputs), 1) for column in self.columns]
        for pair, column, (centre, factor, _) in zip(pairs, self.columns, self.scale.double(), strict=True):
            if column.kind not in WORDED:
                pair[0, 0], pair[0, 1] = centre, factor
        centres, factors = torch.cat(pairs).T
        return centres, factors

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    @classmethod
    def fit(cls, table: Table | StoredTable, rows: Tensor, range: Range) -> tuple[Features, list[str]]:
        """Learn from `rows` of the table alone; the notes say in sentences what was filled in or left out."""
        columns, scale, notes = [], [], []
        constant = []
        for seen in _summaries(table, rows):
            if seen.constant:
                constant.append(seen.name)
            if seen.kind in WORDED:
                fitted, note = _categories(seen) if seen.kind == "categorical" else _text(seen)
                if note:
                    notes.append(note)
                if fitted is None:
                    continue
                if seen.kind == "categorical" and (joined := several_labels(fitted.categories)[0]):
                    notes.append(f"'{seen.name}' holds several words in a row ('{joined}'), and each combination is a category; make a "
                                 "column of yes and no for each word to have them apart.")
                columns.append(fitted)
                scale.append(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
                continue
            if seen.known is None:
                notes.append(f"'{seen.name}' has no value in any training row and was left out.")
                continue
            centre, factor = seen.known.scaling(range)
            if not seen.constant and (seen.kind == "boolean" or (seen.kind == "ordered" and range == "unit")):
                centre, factor = torch.zeros_like(centre), torch.ones_like(factor)
            columns.append(Fitted(seen.name, seen.kind, seen.absent > 0, seen.categories, parts=seen.parts))
            scale.append(torch.stack([centre, factor, seen.known.mean]))
            if seen.absent:
                mean = seen.known.mean
                word = Column(seen.name, "date", mean[None]).word(0) if seen.kind == "date" else shown(float(mean))
                notes.append(f"'{seen.name}' is missing in {seen.absent} of {seen.n} training rows: the mean {word} stands in, and an "
                             "input of its own says so.")
            notes += _flattened(table, rows, seen.name, seen.kind, seen.known)
        if constant:
            names = f"{', '.join(map(repr, constant[:SHOWN]))}{' and more' if len(constant) > SHOWN else ''}"
            have = "has" if len(constant) == 1 else "have"
            notes.append(f"{counted(len(constant), 'input column')} {have} one and the same value in all {len(rows):,} training rows, "
                         f"and so no influence: {names}.")
        if not columns:
            raise InputError(f"no input column is left to learn from: {notes[0].removesuffix('.')}. Give columns of numbers or categories, "
                             "or train on a text by itself, as a .txt file.")
        return cls(tuple(columns), torch.stack(scale)), notes

    def check(self, table: Table | StoredTable, where: str, apart: tuple[str, ...], say: Callable[[str], None]) -> None:
        """Raises InputError where columns are absent; tells `say` of those it does not read, unless their names are in `apart`."""
        names = [c.name for c in self.columns]
        absent = [n for n in names if n not in table.names]
        strange = [n for n in table.names if n not in names and n not in apart]
        if absent:
            hint = f"Add {'it' if len(absent) == 1 else 'them'}."
            if strange:
                hint = suggest(absent[0], strange).replace("Did you mean", "Is it there as")
            raise InputError(f"{where} lacks {len(absent)} of the {len(names)} columns that training read: "
                             f"{', '.join(map(repr, absent[:5]))}. {hint}")
        if strange:
            unread = f"the column '{strange[0]}'" if len(strange) == 1 else f"{len(strange)} columns ({', '.join(map(repr, strange[:5]))})"
            say(f"{where} has {unread} that training did not read; passed over.")

    def unseen(self, table: Table, rows: Tensor | None = None) -> dict[str, tuple[int, int, str]]:
        """For each column of words with some that training never saw: how many rows have one, the first of them, and its word."""
        strangers = {}
        for fitted in self.columns:
            column = table[fitted.name] if rows is None else table[fitted.name].take(rows)
            if fitted.kind == "text":
                if (first := _unknown_words(fitted, _read_as(column, fitted, ""))) is not None:
                    strangers[fitted.name] = first
            elif fitted.kind == "categorical":
                column = _read_as(column, fitted, "")
                strange = ~column.missing & (places(fitted, column.categories)[column.values] < 0)
                if bool(strange.any()):
                    row = int(strange.nonzero()[0, 0])
                    strangers[fitted.name] = (int(strange.sum()), row, column.word(row))
        return strangers

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
    summaries = [Summary(c.name, c.kind, c.categories) for c in table.columns]
    for piece in table.pieces(rows):
        for seen, column in zip(summaries, piece.columns, strict=True):
            seen.add(column)
    yield from summaries


def _flattened(table: Table | StoredTable, rows: Tensor, name: str, kind: Kind, known: Moments) -> list[str]:
    """What is said of a column of numbers or dates that one value makes flat."""
    if kind not in ("numeric", "date"):
        return []

    def pieces(_: int) -> Iterator[Tensor]:
        if isinstance(table, Table):
            yield table[name].values[rows]
        else:
            yield from (piece[name].values for piece in table.only([name]).pieces(rows))

    return [lone.sentence(f"'{name}'", int(rows[lone.first]), f"--columns {name}:out leaves the column out",
                          written=Column(name, "date", torch.tensor([lone.value], dtype=torch.float64)).word(0) if kind == "date" else "")
            for _, lone in flattened(known, pieces)]


def _encode_column(fitted: Fitted, scale: Tensor, column: Column, out: Tensor) -> None:
    missing = column.missing
    if fitted.kind == "text":
        words.weights(column, fitted.categories, fitted.counts, fitted.rows, out[:, : len(fitted.categories) + 1])
    elif fitted.kind == "categorical":
        own = len(fitted.categories)
        codes = places(fitted, column.categories)[column.values]
        alone, rare = (codes >= 0) & (codes < own), codes >= own
        out[alone.nonzero()[:, 0], codes[alone]] = 1
        if bool(rare.any()):
            inputs = torch.tensor([hashed(word, fitted.shared) for word in fitted.rare])[codes[rare] - own]  # (rare rows, HASHES)
            out[rare.nonzero(), own + inputs] = 1
    else:
        centre, factor, fill = scale
        values = _as_numbers(column)
        out[:, 0] = ((torch.where(missing, fill, values) - centre) * factor).float()
        for i, part in enumerate(fitted.parts):
            sine, cosine = turn(column.values, part)
            out[:, 1 + 2 * i], out[:, 2 + 2 * i] = sine.float(), cosine.float()
    if fitted.indicator:
        out[:, -1] = missing.float()


def places(fitted: Fitted, words: Sequence[str]) -> Tensor:
    """For each word, and for none at the end: its place among those that training saw, the rare ones last; -1 for others.

    A word that training saw in another spelling alone, as yes for Yes, is that word.
    """
    seen = (*fitted.categories, *fitted.rare)
    place = {c: i for i, c in enumerate(seen)}
    alike = {folded(c): i for i, c in reversed(list(enumerate(seen)))}
    return torch.tensor([place.get(c, alike.get(folded(c), -1)) for c in words] + [-1])  # the last entry serves the code -1


def hashed(word: str, inputs: int) -> list[int]:
    """Which HASHES of so many inputs stand for a word, the same on every machine. Svenstrup, Hansen & Winther (2017), arXiv:1709.03933"""
    digest = hashlib.sha256(word.encode()).digest()
    first = int.from_bytes(digest[:8], "little") % inputs
    return [first, (first + 1 + int.from_bytes(digest[8:16], "little") % (inputs - 1)) % inputs]


def _as_numbers(column: Column) -> Tensor:
    """Values (n,) float64; ordered categories as ranks in [0, 1]; NaN where missing."""
    if column.kind != "ordered":
        return column.values
    return torch.where(column.missing, torch.nan, column.values.double() / max(len(column.categories) - 1, 1))


def _categories(column: Summary) -> tuple[Fitted | None, str]:
    """How words are read, None for not at all, and a note where some share inputs or all are left out."""
    seen, present = int((column.counts > 0).sum()), column.n - column.absent
    if seen == 0:
        return None, f"'{column.name}' has no value in any training row and was left out."
    if column.constant:
        return None, ""
    if seen > max(NAMES, present // 2) or (seen == present and seen >= FEWEST_NAMES):
        return None, (f"'{column.name}' holds {seen} different words in {present} training rows, as names do, and was left out; "
                      f"--text {column.name} reads the words in them.")
    most = max(FEWEST_INPUTS, min(MOST_INPUTS, ONE_HOT_BYTES // (4 * column.n)))
    named = column.categories
    if seen <= most:
        return Fitted(column.name, "categorical", column.absent > 0, tuple(named[i] for i in column.counts.nonzero()[:, 0].tolist())), ""
    order = column.counts.argsort(descending=True, stable=True)[:seen]
    own, shared = most // 2, most - most // 2
    frequent, rare = order[:own].sort().values.tolist(), order[own:].sort().values.tolist()
    note = (f"'{column.name}' has {seen:,} categories: the {own} most frequent have an input each, each of the others {HASHES} of {shared} "
            "that they share.")
    return Fitted(column.name, "categorical", column.absent > 0, tuple(named[i] for i in frequent), tuple(named[i] for i in rare),
                  shared), note


def _text(column: Summary) -> tuple[Fitted | None, str]:
    """How sentences are read, None for not at all, and a note of the words that have an input each."""
    own, others, uses = words.vocabulary(column.categories, column.counts.tolist(), words.inputs_for(column.n))
    if not own:
        return None, f"'{column.name}' has no word that is in two training rows and was left out."
    frequent, counts = zip(*own, strict=True)
    note = (f"'{column.name}' holds sentences: {len(own):,} of their words have an input each, weighed by how often they are there and how "
            f"rare they are (TF-IDF); {len(others):,} rarer ones, which are there {uses:,} times in all, count as unknown. "
            f"--columns {column.name}:out leaves it out.")
    return Fitted(column.name, "text", column.absent > 0, frequent, tuple(others), counts=counts, rows=column.n), note


def _unknown_words(fitted: Fitted, column: Column) -> tuple[int, int, str] | None:
    """How many rows have words that training never saw, the first such row and word; None where none has."""
    known = frozenset((*fitted.categories, *fitted.rare))
    first = {code: strange[0] for code in column.values.unique().tolist() if code >= 0
             and (strange := words.unknown(column.categories[code], known))}
    rows = torch.isin(column.values, torch.tensor(list(first), dtype=torch.int64))
    if not first:
        return None
    row = int(rows.nonzero()[0, 0])
    return int(rows.sum()), row, first[int(column.values[row])]


def _read_as(column: Column, fitted: Fitted, where: str) -> Column:
    """A column of new data as the kind that training saw. Raises InputError naming the row that does not fit."""
    if column.kind == fitted.kind and (fitted.kind != "ordered" or column.categories == fitted.categories):
        return column
    if fitted.kind in (*WORDED, "ordered"):
        spelt = column.categories
        codes = column.values
        if not spelt:
            distinct, codes = column.values.unique(return_inverse=True)
            spelt = tuple(("false", "true")[int(v)] if column.kind == "boolean" and v == v else class_name(v) for v in distinct.tolist())
            codes = torch.where(column.missing, -1, codes)
        if fitted.kind in WORDED:
            return Column(column.name, fitted.kind, codes, spelt)
        strange = [w for i, w in enumerate(spelt) if w not in fitted.categories and bool((codes == i).any())]
        if strange:
            raise InputError(f"{where}: column '{column.name}' holds '{strange[0]}'; training knew {', '.join(fitted.categories)}. "
                             "Correct it, or leave it empty if it is missing.")
        to = torch.tensor([fitted.categories.index(w) if w in fitted.categories else -1 for w in spelt] + [-1])
        return Column(column.name, "ordered", to[codes], fitted.categories)
    if column.categories:
        known = (~column.missing).nonzero()
        if len(known):
            row = int(known[0, 0])
            raise InputError(f"{where}, row {row + 1}, column '{column.name}': expected "
                             f"{ {'numeric': 'a number', 'date': 'a date'}.get(fitted.kind, 'yes or no')} "
                             f"as in training; got '{column.word(row)}'. Correct it, or leave it empty if it is missing.")
        return Column(column.name, fitted.kind, torch.full((len(column),), torch.nan, dtype=torch.float64))
    if fitted.kind == "date" or column.kind == "date":
        raise InputError(f"{where}, column '{column.name}': expected {'dates' if fitted.kind == 'date' else 'numbers'} as in training; got "
                         f"{'dates' if column.kind == 'date' else 'numbers'}, such as {column.word(0)}. Write it as it was in training.")
    return Column(column.name, fitted.kind, column.values)
