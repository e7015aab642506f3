"""Tables from CSV, TSV and Parquet (through polars) and from pandas, polars and Arrow frames (through narwhals)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.encode.columns import Column, Table, is_number, of_booleans, of_numbers, of_objects, of_words, refuse_infinite
from chainrule.data.encode.targets import of_column
from chainrule.data.readers.gzipped import content
from chainrule.data.source import Source, TargetKind
from chainrule.data.storage.stored import StoredTable
from chainrule.data.weights import of_column as weights_of

MISSING = ["", "NA", "N/A", "nan", "NaN", "null", "NULL", "?"]
TARGET_NAMES = ("target", "label", "class", "y")
SEPARATORS = {".csv": ",;\t|", ".tsv": "\t"}
MOST_COLUMNS = 100_000
MICROSECONDS_PER_DAY = 86_400 * 10**6


def read_file(path: Path) -> Table:
    """The table of a .csv, .tsv (also .gz) or .parquet file. Raises InputError, CorruptFile."""
    frame = _read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    return of_frame(frame, str(path))


def _read_parquet(path: Path) -> Any:
    import polars as pl

    with parquet_errors(path):
        return pl.read_parquet(path)


@contextlib.contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """What polars says of a damaged file, as CorruptFile."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptFile(f"{path} is damaged or not a Parquet file: {first_line(error)}") from None


def _read_text(path: Path) -> Any:
    import polars as pl

    raw = content(path)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path} is text in UTF-16; expected UTF-8. Save it as UTF-8.")
    head = raw[: raw.find(b"\n") + 1 or len(raw)]
    if not head.strip():
        raise InputError(f"{path} is empty; expected a line of column names and rows below it.")
    offered = SEPARATORS[Path(path.name.removesuffix(".gz")).suffix]
    separator = max(offered, key=lambda s: head.count(s.encode()))
    if head.count(separator.encode()) >= MOST_COLUMNS:
        raise InputError(f"{path} has more than {MOST_COLUMNS:,} columns in its first line; expected rows as lines. Transpose it.")
    try:
        frame = pl.read_csv(io.BytesIO(raw), separator=separator, infer_schema_length=None, null_values=MISSING, try_parse_dates=True)
        frame.columns = [name.strip() for name in frame.columns]
    except pl.exceptions.NoDataError:
        raise InputError(f"{path} is empty; expected a line of column names and rows below it.") from None
    except pl.exceptions.PolarsError as error:
        if "utf" in str(error).lower():
            raise CorruptFile(f"{path} is not text in UTF-8; expected a table of values separated by commas, or by tabs in a .tsv. "
                              "Save it as UTF-8.") from None
        raise CorruptFile(f"{path} is not a table of values separated by {separator!r}: {first_line(error)}. "
                          "Each line needs as many values as the first has names.") from None
    if all(is_number(name) for name in frame.columns):
        raise InputError(f"{path} starts with numbers ({', '.join(frame.columns[:3])}, ...); expected a line of column names. Add one.")
    return frame.with_columns([_retyped(frame[name]) for name, kind in frame.schema.items() if kind == pl.String])


def _retyped(series: Any) -> Any:
    """Words without the spaces around them; numbers and yes/no where that is what they then are."""
    import polars as pl

    words = series.str.strip_chars()
    words = words.set(words.is_in(MISSING), None)
    present = words.null_count()
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.null_count() == present:
        return numbers
    lower = words.str.to_lowercase()
    if bool(lower.drop_nulls().is_in(["true", "false"]).all()):
        return lower == "true"
    return words


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def is_frame(what: object) -> bool:
    """Whether `what` is a data frame or a lazy one, told by its class alone."""
    return type(what).__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "narwhals", "modin", "cudf")


def of_frame(frame: Any, where: str) -> Table:
    """The columns of a pandas, polars or Arrow frame. Raises InputError for kinds of values that no column can hold."""
    import narwhals as nw

    try:
        held = nw.from_native(frame, eager_only=True)
        columns = tuple(column_of(series, where) for series in held.iter_columns())
    except (TypeError, nw.exceptions.NarwhalsError) as error:
        raise InputError(f"{where}: expected a data frame in memory with distinct column names; {first_line(error)}.") from None
    table = Table(columns)
    if not len(table):
        raise InputError(f"{where} has no rows; expected at least one below the column names.")
    refuse_infinite(table, where)
    return table


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
    if kind.is_numeric():
        return of_numbers(name, series.cast(nw.Float64).to_numpy())
    if kind == nw.Date or kind == nw.Datetime:
        stamps = series.cast(nw.Datetime("us")) if kind == nw.Date else series
        days = stamps.dt.timestamp("us").cast(nw.Float64).to_numpy() / MICROSECONDS_PER_DAY
        return of_numbers(name, days)
    if kind == nw.Enum:
        return of_words(name, series.to_list(), order=[str(c) for c in kind.categories])
    if kind == nw.String or kind == nw.Categorical:
        return of_words(name, series.to_list())
    values = series.to_list()
    if series.null_count() == len(series):
        return of_numbers(name, np.full(len(values), np.nan))
    return of_objects(name, values, where)


def source_of(table: Table | StoredTable, where: str, *, name: str, origin: dict[str, Any], fingerprint: Any,
              target: str | int | None, group: str | int | None = None, time: str | int | None = None,
              weight: str | int | None = None, lenient: bool = False) -> Source:
    """The source a table makes: target, group, time and weight columns set apart from the inputs.

    `lenient` is for reading rows to predict: a target column that is absent or has gaps is no target.
    """
    wanted = _target(table, where, target, lenient)
    apart = {role: table.find(c, where, f"--{role}") for role, c in (("group", group), ("time", time), ("weight", weight))
             if c is not None and not (lenient and c not in table.names)}
    taken = {c.name for c in apart.values()} | ({wanted.name} if wanted else set())
    if wanted is not None and "weight" in apart and apart["weight"].name == wanted.name:
        raise InputError(f"--weight and --target both name the column '{wanted.name}' of {where}; expected a column of its own for "
                         "weights. Name another with --weight, or leave it out.")
    inputs = table.without(taken)
    if not inputs.columns:
        raise InputError(f"{where} has no input columns left beside {', '.join(sorted(taken))}; expected at least one.")
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
    task, values, classes = of_column(wanted, where) if wanted else none
    groups = apart["group"].values if "group" in apart else None
    weights = weights_of(apart["weight"], where) if "weight" in apart else None
    names = {role: apart[role].name if role in apart else None for role in ("group", "time", "weight")}
    origin = {**origin, "target": wanted.name if wanted else None, **names}
    when = times.values if times else None
    digest = fingerprint(inputs, values, classes, groups, when, weights)
    return Source(name, inputs, values, task, origin, digest, classes, groups=groups, times=when, weights=weights)


def _target(table: Table | StoredTable, where: str, target: str | int | None, lenient: bool) -> Column | None:
    if lenient:
        column = table[str(target)] if target in table.names else None
        return column if column is not None and not bool(column.missing.any()) else None
    if target == "none" and "none" not in table.names:
        return None
    if target is not None:
        return table.find(target, where, "--target")
    if table.names[-1].lower() in TARGET_NAMES:
        return table[table.names[-1]]
    names = ", ".join(table.names[:20]) + (", ..." if len(table.columns) > 20 else "")
    raise InputError(f"{where}: which column is to be predicted? It has {names}. Name one with --target, or write --target none.")
