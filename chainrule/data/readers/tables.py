"""Frames as tables (through narwhals): each column typed, words read by a known format or by one that is decided from them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from chainrule.core.errors import InputError
from chainrule.core.text import first_line
from chainrule.data.column_types import decide, hidden_kind
from chainrule.data.encode.columns import Column, Table, class_name, of_booleans, of_numbers, of_objects, of_words, refuse_infinite
from chainrule.data.encode.words import holds_sentences
from chainrule.data.formats import SENTENCES, Format, read, stripped
from chainrule.data.memory import afford
from chainrule.data.readers.labels import plain
from chainrule.data.reading import USUAL, Reading

MICROSECONDS_PER_DAY = 86_400 * 10**6
# what a column of words takes in memory while its categories are made, for each word and each that differs: measured on 2026-12-01
WORD_BYTES, DISTINCT_BYTES = 90, 190
WORTH_ASKING = 2**24     # bytes: below it, looking how many are free would cost more than it tells


@dataclass(frozen=True)
class Known:
    """What is known of a table before it is read, as from training: formats, kinds of other columns, and columns that may have gaps.

    `labels` are columns that no net reads, and that tell rows apart.
    """

    formats: Mapping[str, Format] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    lenient: Collection[str] = ()
    names: tuple[str, ...] = ()
    labels: Collection[str] = ()


@dataclass(frozen=True)
class Typed:
    """A table, how each of its columns of words was read, in sentences what is worth saying of that, and its labels as they came."""

    table: Table
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)


def typed(frame: Any, where: str, reading: Reading = USUAL, known: Known | None = None, *, notes: Collection[str] = (),
          semicolons: bool = False, wordy: bool = True) -> Typed:
    """The columns of a frame; those of words are read by their known format, or by one that is decided here.

    Where the frame has types of its own (not `wordy`), words stay words unless a format or the user says otherwise. Raises
    InputError for kinds of values that no column can hold, and naming the row of a word that a known format does not fit.
    """
    import narwhals as nw

    known = known or Known()
    try:
        table_as_given = nw.from_native(frame, eager_only=True)
        series = {str(s.name): s for s in table_as_given.iter_columns()}
    except (TypeError, nw.exceptions.NarwhalsError) as error:
        raise InputError(f"{where}: expected a data frame in memory with distinct column names; {first_line(error)}.") from None
    if not len(table_as_given) or not series:
        raise InputError(f"{where} has no rows; expected at least one below the column names.")
    declared = {**(known.kinds if wordy else {}), **reading.kinds(list(series), where)}
    words = {name: stripped(_polars(s), reading.marks)
             for name, s in series.items() if s.dtype == nw.String and (wordy or name in declared or name in known.formats)}
    notes = [*notes, *_hidden(series, declared)] if not wordy and not known.names else notes
    undecided = {name: w for name, w in words.items() if name not in known.formats}
    formats, decided = decide(undecided, reading, declared, where, semicolons=semicolons)
    formats |= {name: known.formats[name] for name in words if name in known.formats}
    columns = tuple(_of_words(name, words[name], formats[name], where, name in known.formats, name in known.lenient) if name in words
                    else _declared(column_of(s, where), declared.get(name), reading, where) for name, s in series.items())
    formats |= {name: Format("out") for name in series
                if declared.get(name) == "out" or (name in known.formats and known.formats[name].kind == "out")}
    columns, sentences = _with_texts(columns, declared, known)
    formats |= dict.fromkeys(sentences, SENTENCES)
    table = Table(columns)
    refuse_infinite(table.without(n for n, table_as_given in formats.items() if table_as_given.kind == "out"), where)
    return Typed(table, formats, (*notes, *decided), {name: plain(s) for name, s in series.items() if name in known.labels})


def _with_texts(columns: tuple[Column, ...], declared: Mapping[str, str], known: Known) -> tuple[tuple[Column, ...], list[str]]:
    """The columns, those of sentences as texts, and the names of these: as the user says, as in training, or as they look."""

    def is_text(column: Column) -> bool:
        if column.name in declared or column.name in known.formats or column.name in known.kinds:
            return declared.get(column.name) == "text" or (column.name in known.formats and known.formats[column.name].kind == "text")
        return column.kind == "categorical" and holds_sentences(column.categories, int((~column.missing).sum()))

    names = [column.name for column in columns if is_text(column)]
    return tuple(_as_text(column) if column.name in names else column for column in columns), names


def _as_text(column: Column) -> Column:
    if column.categories or column.kind == "categorical":
        return Column(column.name, "text", column.values, column.categories)
    written = {v: class_name(v) for v in set(column.values.tolist()) if v == v}
    return replace(of_words(column.name, [written.get(v) for v in column.values.tolist()]), kind="text")


def _hidden(series: Mapping[str, Any], declared: Collection[str]) -> list[str]:
    """What is said of columns of words, in a frame, that look like numbers or dates."""
    import narwhals as nw

    notes = []
    for name, column in series.items():
        if column.dtype == nw.String and name not in declared:
            words = stripped(_polars(column))
            if kind := hidden_kind(words):
                notes.append(f"'{name}' holds words such as '{words.drop_nulls()[0]}'; --columns {name}:{kind} reads them as {kind}s.")
    return notes


def _polars(series: Any) -> Any:
    """A narwhals series of words as one of polars."""
    import polars as pl

    native = series.to_native()
    if isinstance(native, pl.Series):
        return native
    return pl.Series(series.name, [v if isinstance(v, str) else None for v in series.to_list()], dtype=pl.String)


def _of_words(name: str, words: Any, format: Format, where: str, trained: bool, lenient: bool) -> Column:
    """A column of stripped words. Raises InputError naming the first row that the format of training does not fit."""
    if format.kind == "out":
        return of_numbers(name, np.full(len(words), np.nan))
    values, misfits = read(words, format)
    if not lenient and misfits.any():
        row = int(misfits.arg_max())
        raise InputError(f"{where}, row {row + 1}, column '{name}': expected {format.expected}{' as in training' * trained}; got "
                         f"'{words[row]}'. Correct it, or leave it empty if it is missing.")
    if format.kind in ("word", "text"):
        needed = WORD_BYTES * len(values) + DISTINCT_BYTES * values.n_unique()
        if needed >= WORTH_ASKING:
            afford(needed, f"reading the words of column '{name}' of {where}")
        return of_words(name, values.to_list())
    numbers = values.cast(float).to_numpy()
    if format.kind == "date":
        return Column(name, "date", torch.from_numpy(np.array(numbers)))
    return of_booleans(name, numbers) if format.kind == "truth" else of_numbers(name, numbers)


def _declared(column: Column, kind: str | None, reading: Reading, where: str) -> Column:
    """A column that has a type of its own as the kind that the user declared, marks of missing values taken out."""
    if not column.categories:
        marks = [float(mark) for mark in reading.marks if _is_number(mark)]
        if marks:
            absent = torch.isin(column.values, torch.tensor(marks, dtype=torch.float64))
            column = Column(column.name, column.kind, column.values.masked_fill(absent, torch.nan))
    if kind in ("word", "exact") and not column.categories:
        distinct = {v for v in column.values.tolist() if v == v}
        names = {v: class_name(v) for v in distinct}
        return of_words(column.name, [names.get(v) for v in column.values.tolist()])
    if kind == "number" and column.kind in ("boolean", "date"):
        return Column(column.name, "numeric", column.values)
    if kind == "date" and column.kind != "date":
        raise InputError(f"{where}: --columns {column.name}:date needs words such as 2026-01-31; the column holds "
                         f"{'yes and no' if column.kind == 'boolean' else 'numbers'}. Leave it out, or write the dates as words.")
    return column


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return float(text) == float(text)
    return False


def is_frame(what: object) -> bool:
    """Whether `what` is a data frame or a lazy one, told by its class alone."""
    return type(what).__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "narwhals", "modin", "cudf")


def of_frame(frame: Any, where: str) -> Table:
    """The columns of a pandas, polars or Arrow frame. Raises InputError for kinds of values that no column can hold."""
    return typed(frame, where, wordy=False).table


def of_series(series: Any, where: str) -> Column:
    """A column from a pandas, polars or Arrow series, such as the y of (X, y)."""
    import narwhals as nw

    return column_of(nw.from_native(series, series_only=True), where)


def column_of(series: Any, where: str) -> Column:
    """A column from a narwhals series. Raises InputError for kinds of values that no column can hold."""
    import narwhals as nw

    name, kind = str(series.name), series.dtype
    if kind == nw.Boolean:
        return of_booleans(name, series.cast(nw.Float64).to_numpy())
    if kind.is_integer() and _merges(series):
        return of_words(name, series.cast(nw.String).to_list())
    if kind.is_numeric():
        return of_numbers(name, series.cast(nw.Float64).to_numpy())
    if kind == nw.Date or kind == nw.Datetime:
        stamps = series.cast(nw.Datetime("us")) if kind == nw.Date else series
        days = stamps.dt.timestamp("us").cast(nw.Float64).to_numpy() / MICROSECONDS_PER_DAY
        return Column(name, "date", torch.from_numpy(np.array(days, np.float64)))
    if kind == nw.Enum:
        return of_words(name, series.to_list(), order=[str(c) for c in kind.categories])
    if kind == nw.String or kind == nw.Categorical:
        return of_words(name, series.to_list())
    values = series.to_list()
    if series.null_count() == len(series):
        return of_numbers(name, np.full(len(values), np.nan))
    return of_objects(name, values, where)


def _merges(series: Any) -> bool:
    """Whether double precision would take different whole numbers of a narwhals series for the same, as of ids of 64 bits."""
    import narwhals as nw

    present = series.drop_nulls()
    if not len(present) or -(2**53) <= present.min() <= present.max() <= 2**53:
        return False
    return bool(present.n_unique() > present.cast(nw.Float64).n_unique())
