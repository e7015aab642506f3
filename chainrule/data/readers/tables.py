"""Tables from text, Parquet, Feather, Excel and JSON lines (through polars) and from frames (through narwhals), each column typed."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data import delimited
from chainrule.data.column_types import decide, hidden_kind
from chainrule.data.encode.columns import Column, Table, class_name, of_booleans, of_numbers, of_objects, of_words, refuse_infinite
from chainrule.data.encode.targets import of_column, target_notes
from chainrule.data.formats import Format, read, stripped
from chainrule.data.readers.gzipped import content, suffix_of
from chainrule.data.readers.labels import plain
from chainrule.data.reading import USUAL, Reading
from chainrule.data.source import Source, TargetKind
from chainrule.data.storage.stored import StoredTable
from chainrule.data.weights import of_column as weights_of

TARGET_NAMES = ("target", "label", "class", "y")
TYPED = (".parquet", ".feather", ".arrow", ".ipc")   # whose columns have types of their own
SUFFIXES = tuple(dict.fromkeys((".csv", ".tsv", *TYPED, ".xlsx", ".jsonl", ".ndjson", *delimited.SUFFIXES)))
MICROSECONDS_PER_DAY = 86_400 * 10**6
ROW_NAMES = re.compile(r"(?i:unnamed: 0|(?:.*[_ .-])?(?:id|idx|index|row|rowid|row_?names?|rownum|key|nr|no|obs))|.*[a-z]I[dD]|")
FEWEST_ROWS = 10       # of which one can say that a column numbers them


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


def read_file(path: Path, reading: Reading = USUAL, known: Known | None = None) -> Typed:
    """The table of a file of one of SUFFIXES, or of such a file packed as .gz or .zip. Raises InputError, CorruptFile."""
    suffix = suffix_of(path)
    if suffix in delimited.SUFFIXES:
        frame, notes, semicolons = read_words(path, reading, known)
        return typed(frame, str(path), reading, known, notes=notes, semicolons=semicolons)
    if suffix in TYPED:
        return typed(_read_columns(path, suffix), str(path), reading, known, wordy=False)
    return typed(_read_excel(path) if suffix == ".xlsx" else _read_lines(path), str(path), reading, known)


def _read_columns(path: Path, suffix: str) -> Any:
    import polars as pl

    with parquet_errors(path):
        source = path if path.suffix.lower() == suffix else io.BytesIO(content(path))
        return pl.read_parquet(source) if suffix == ".parquet" else pl.read_ipc(source)


@contextlib.contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """What polars says of a damaged file, as CorruptFile."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "a Parquet" if suffix_of(path) == ".parquet" else "a Feather"
        raise CorruptFile(f"{path} is damaged or not {kind} file: {first_line(error)}") from None


def _read_excel(path: Path) -> Any:
    """The first sheet. Raises InputError where the package that reads Excel's files is not installed."""
    import polars as pl

    try:
        return pl.read_excel(path, engine="calamine", infer_schema_length=None)
    except ImportError:
        raise InputError(f"{path}: reading .xlsx needs the package fastexcel. Install it (pip install 'chainrule[excel]'), or save "
                         "the sheet as CSV.") from None
    except Exception as error:  # calamine's own errors have no common class
        raise CorruptFile(f"{path} is damaged, locked or not an .xlsx file: {first_line(error)}") from None


def _read_lines(path: Path) -> Any:
    """Objects of JSON, one a line. Raises InputError for lines that make a translation, CorruptFile where one is no object."""
    import polars as pl

    raw = content(path)
    if not raw.strip():
        raise InputError(f"{path} is empty; expected an object of JSON in each line.")
    try:
        frame = pl.read_ndjson(io.BytesIO(raw), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise CorruptFile(f"{path} does not hold an object of JSON in each line: {first_line(error)}.") from None
    if set(frame.columns) == {"source", "target"} and all(kind == pl.String for kind in frame.dtypes):
        raise InputError(f"{path} holds pairs of texts (source, target), as translation has; a table's net reads numbers and categories. "
                         "Give it to a net that translates, or name its columns otherwise if they are categories.")
    return frame


def read_words(path: Path, reading: Reading, known: Known | None) -> tuple[Any, list[str], bool]:
    """All values of a text file as words; notes; and whether semicolons part them. Raises InputError, CorruptFile."""
    where = str(path)
    raw, notes = delimited.decoded(content(path), where, reading.encoding)
    dialect = delimited.sniff(raw, where, suffix_of(path), reading, known.names if known else ())
    data = delimited.blanks_as_one(raw) if dialect.separator == " " else raw
    frame, comments = dialect.rows(data[dialect.begin :], 1 + data.count(b"\n", 0, dialect.begin))
    comments += dialect.comments
    if comments:
        notes.append(f"{comments} line{'s' * (comments != 1)} that begin{'s' * (comments == 1)} with # {'are' if comments > 1 else 'is'} "
                     "passed over.")
    return frame, [*notes, *dialect.notes], dialect.separator == ";"


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
    table = Table(columns)
    refuse_infinite(table.without(n for n, table_as_given in formats.items() if table_as_given.kind == "out"), where)
    return Typed(table, formats, (*notes, *decided), {name: plain(s) for name, s in series.items() if name in known.labels})


def _hidden(series: Mapping[str, Any], declared: Collection[str]) -> list[str]:
    """What is said of columns of words, in a frame, that look like numbers or dates."""
    import narwhals as nw

    notes = []
    for name, held in series.items():
        if held.dtype == nw.String and name not in declared:
            words = stripped(_polars(held))
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
                         f"'{words[row]}'.")
    if format.kind == "word":
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


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


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


def row_names(table: Table | StoredTable, formats: Mapping[str, Format], declared: Collection[str]) -> dict[str, str]:
    """Columns that number or name the rows by a whole number each, as an index does, and what is said of them."""
    notes = {}
    for i, name in enumerate(table.names):
        if not ROW_NAMES.fullmatch(name) or (name == "" and i) or name in declared or (name in formats and formats[name].kind != "number"):
            continue
        column = table[name]
        whole = column.kind == "numeric" and len(column) >= FEWEST_ROWS and bool((column.values == column.values.floor()).all())
        if whole and len(column.values.unique()) == len(column):
            what = f"'{name}'" if name else "The column without a name"
            notes[name] = (f"{what} holds a different whole number in each row, as numbers of rows do, and is left out"
                           f"{f'; --columns {name}:number reads it' if name else ''}.")
    return notes


def source_of(table: Table | StoredTable, where: str, *, name: str, origin: dict[str, Any], fingerprint: Any,
              target: str | int | None, group: str | int | None = None, time: str | int | None = None,
              weight: str | int | None = None, lenient: bool = False, formats: Mapping[str, Format] | None = None,
              notes: Collection[str] = (), reading: Reading = USUAL) -> Source:
    """The source a table makes: target, group, time and weight columns set apart from the inputs, and those that only number the rows.

    `lenient` is for reading rows to predict: a target column that is absent or has gaps is no target.
    """
    formats, remarks, declared = dict(formats or {}), list(notes), reading.kinds(table.names, where)
    wanted = _target(table, where, target, lenient)
    apart = {role: table.find(c, where, f"--{role}") for role, c in (("group", group), ("time", time), ("weight", weight))
             if c is not None and not (lenient and c not in table.names)}
    taken = {c.name for c in apart.values()} | ({wanted.name} if wanted else set())
    out = {n for n, format in formats.items() if format.kind == "out"}
    if taken & out:
        raise InputError(f"--columns {min(taken & out)}:out leaves out a column of {where} that --target, --group, --time or --weight "
                         f"names. "
                         "Drop one of the two.")
    if wanted is not None and "weight" in apart and apart["weight"].name == wanted.name:
        raise InputError(f"--weight and --target both name the column '{wanted.name}' of {where}; expected a column of its own for "
                         "weights. Name another with --weight, or leave it out.")
    inputs = table.without(taken | out)
    if not lenient:
        numbering = row_names(inputs, formats, declared)
        inputs, remarks = inputs.without(numbering), [*remarks, *numbering.values()]
        formats |= dict.fromkeys(numbering, Format("out"))
    if not inputs.columns:
        raise InputError(f"{where} has no input columns left beside {', '.join(sorted(set(table.names)))}; expected at least one.")
    if reading.drop_unlabelled and wanted is not None and not lenient:
        inputs, wanted, apart, dropped = _labelled(inputs, wanted, apart, where)
        remarks += dropped
    for role, column in apart.items():
        if bool(column.missing.any()):
            row = int(column.missing.nonzero()[0, 0])
            raise InputError(f"{where}, row {row + 1}: the {role} column '{column.name}' is empty; every row needs a {role}. Fill or "
                             "remove the row.")
    times = apart.get("time")
    if times is not None and times.categories:
        raise InputError(f"{where}: the time column '{times.name}' holds words such as '{times.word(0)}'; expected numbers or dates "
                         "like 2026-01-31.")
    none: tuple[TargetKind, None, tuple[str, ...]] = ("none", None, ())
    exact = wanted is not None and wanted.name in formats and formats[wanted.name].exact
    task, values, classes = of_column(wanted, where, "exact" if exact else declared.get(wanted.name)) if wanted else none
    remarks += target_notes(wanted, task, declared) if wanted is not None and not lenient else []
    groups = apart["group"].values if "group" in apart else None
    weights = weights_of(apart["weight"], where) if "weight" in apart else None
    names = {role: apart[role].name if role in apart else None for role in ("group", "time", "weight")}
    origin = {**origin, "target": wanted.name if wanted else None, **names}
    origin |= {"reading": reading.to_json()} if reading != USUAL else {}
    when = times.values if times else None
    digest = fingerprint(inputs, values, classes, groups, when, weights)
    return Source(name, inputs, values, task, origin, digest, classes, groups=groups, times=when, weights=weights, formats=formats,
                  notes=tuple(remarks))


def _labelled(inputs: Any, wanted: Column, apart: dict[str, Column], where: str) -> tuple[Any, Column, dict[str, Column], list[str]]:
    """The rows that have a target, and a note of how many have none. Raises InputError where rows on disk would have to go."""
    known = (~wanted.missing).nonzero()[:, 0]
    if len(known) == len(wanted):
        return inputs, wanted, apart, []
    if not len(known):
        raise InputError(f"{where}: the target '{wanted.name}' is missing in all {len(wanted)} rows; there is nothing to learn. Name "
                         f"another "
                         "with --target.")
    if isinstance(inputs, StoredTable):
        raise InputError(f"{where}: --drop-unlabelled cannot leave out rows of a table that stays on disk ({len(wanted) - len(known)} lack "
                         f"'{wanted.name}'). Write the file without them.")
    note = f"{len(wanted) - len(known)} of {len(wanted)} rows have no '{wanted.name}' and were left out; rows are counted without them."
    return inputs.take(known), wanted.take(known), {role: c.take(known) for role, c in apart.items()}, [note]


def _target(table: Table | StoredTable, where: str, target: str | int | None, lenient: bool) -> Column | None:
    if lenient:
        column = table[str(target)] if target in table.names else None
        return column if column is not None and not bool(column.missing.any()) else None
    if target == "none" and "none" not in table.names:
        return None
    if target is not None:
        several = [part.strip() for part in target.split(",")] if isinstance(target, str) and target not in table.names else []
        if len(several) > 1 and all(part in table.names for part in several):
            raise InputError(f"--target {target} names {len(several)} columns; a table has one target. Train a run for each, the others "
                             f"left out "
                             f"with --columns {several[1]}:out, or give arrays in Python: (X, Y), Y of shape (n, {len(several)}).")
        return table.find(target, where, "--target")
    if table.names[-1].lower() in TARGET_NAMES:
        return table[table.names[-1]]
    names = ", ".join(table.names[:20]) + (", ..." if len(table.columns) > 20 else "")
    unnamed = " (the first line holds values, no names)" if table.names[0] == "column_0" else ""
    raise InputError(f"{where}: which column is to be predicted? It has {names}{unnamed}. Name one with --target, or write --target none.")
