"""The rows of a table file a piece at a time, each column typed as if the file had been read whole."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.encode.columns import Table, is_number
from chainrule.data.readers.gzipped import Packed
from chainrule.data.readers.tables import MISSING, MOST_COLUMNS, SEPARATORS, first_line, of_frame, parquet_errors

PIECE_BYTES = 2**23
UNPACKED = 8           # times its size: what a compressed file holds, about
PIECE_VALUES = 2**21   # of a Parquet file, rows times columns
Words = Literal["number", "truth", "word"]
Made = TypeVar("Made")


class Rows:
    """A table file; `expected` is how many rows it has, once the first piece came."""

    def __init__(self, path: Path, piece_bytes: int):
        self.path, self.piece_bytes = path, piece_bytes
        self.name = Path(path.name.removesuffix(".gz")).stem
        self.expected = self.before = 0

    @property
    def nbytes(self) -> int:
        """About what its rows take in memory."""
        return self.path.stat().st_size * (1 if self.path.suffix in SEPARATORS else UNPACKED)

    def frames(self) -> Iterator[Any]:
        """Frames of consecutive rows, from the first row on."""
        raise NotImplementedError

    def tables(self) -> Iterator[Table]:
        """The rows, in order. Raises InputError, CorruptFile, with rows counted from the start of the file."""
        self.before = 0
        for frame in self.frames():
            yield self.located(frame, lambda: of_frame(frame, str(self.path)))  # noqa: B023 (called at once)
            self.before += len(frame)

    def located(self, rows: Any, make: Callable[[], Made]) -> Made:
        """What `make` makes of the piece read last; an error that names a row of it names the row of the file."""
        try:
            return make()
        except InputError as error:
            told = re.sub(r"(?<=, row )\d+", lambda found: str(int(found[0]) + self.before), str(error), count=1)
            raise type(error)(told) from None


def rowwise(what: Any, piece_bytes: int = PIECE_BYTES) -> Rows | None:
    """The rows of a .csv, .tsv (also .gz) or .parquet file; None for anything else."""
    path = Path(what).expanduser() if isinstance(what, str | Path) else None
    if path is None or not path.is_file():
        return None
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if path.suffix == ".parquet":
        return ParquetRows(path, piece_bytes)
    return TextRows(path, piece_bytes, SEPARATORS[suffix]) if suffix in SEPARATORS else None


class ParquetRows(Rows):
    """A Parquet file: its columns have their types already."""

    def frames(self) -> Iterator[Any]:
        import polars as pl

        with parquet_errors(self.path):
            lazy = pl.scan_parquet(self.path)
            columns = len(lazy.collect_schema())
            self.expected = int(lazy.select(pl.len()).collect().item())
        step = max(1, PIECE_VALUES // max(columns, 1))
        for at in range(0, self.expected, step):
            with parquet_errors(self.path):
                frame = lazy.slice(at, step).collect()
            yield frame


class TextRows(Rows):
    """Separated values. A column's type depends on all its rows, so the file is read twice: for the types, then for the values."""

    def __init__(self, path: Path, piece_bytes: int, separators: str):
        super().__init__(path, piece_bytes)
        self.separators = separators
        self._columns: list[str] = []

    def frames(self) -> Iterator[Any]:
        import polars as pl

        words = self._words()
        for frame in self._pieces(dict.fromkeys(words, pl.String)):
            empty = [frame[name].cast(pl.Float64) for name in frame.columns if name not in words and frame[name].null_count() == len(frame)]
            yield frame.with_columns([_as(kind, frame[name]) for name, kind in words.items()] + empty)

    def _words(self) -> dict[str, Words]:
        """For the columns that polars reads as text when it sees all rows: what they hold, once blanks around it are gone."""

        kinds: dict[str, set[str]] = {}
        held: dict[str, set[Words]] = {}
        self.expected = 0
        for frame in self._pieces({}):
            self.expected += len(frame)
            names = frame.columns
            for name, dtype in frame.schema.items():
                if frame[name].null_count() == len(frame):
                    continue
                kinds.setdefault(name, set()).add("number" if dtype.is_numeric() else str(dtype))
                held.setdefault(name, set()).add(_held(frame[name]))
        if not self.expected:
            raise InputError(f"{self.path} has no rows; expected at least one below the column names.")
        mixed = [name for name, found in kinds.items() if len(found) > 1 or found == {"String"}]
        empty = [name for name in names if name not in kinds]
        return {name: next(iter(held[name])) if len(held[name]) == 1 else "word" for name in mixed} | dict.fromkeys(empty, "number")

    def _pieces(self, types: dict[str, Any]) -> Iterator[Any]:
        """Frames of whole lines, in order."""
        import polars as pl

        with Packed(self.path) as packed:
            head, rest = self._head(packed)
            separator = max(self.separators, key=lambda s: head.count(s.encode()))
            if head.count(separator.encode()) >= MOST_COLUMNS:
                raise InputError(f"{self.path} has more than {MOST_COLUMNS:,} columns in its first line; expected rows as lines. "
                                 "Transpose it.")
            for lines in _lines(packed, rest, self.piece_bytes):
                try:
                    frame = pl.read_csv(io.BytesIO(head + lines), separator=separator, infer_schema_length=None, null_values=MISSING,
                                        try_parse_dates=True, schema_overrides=self._own(types))
                except pl.exceptions.PolarsError as error:
                    hint = "Save it as UTF-8." if "utf" in str(error).lower() else "Each line needs as many values as the first has names."
                    raise CorruptFile(f"{self.path} is not a table of values separated by {separator!r}: {first_line(error)}. "
                                      f"{hint}") from None
                self._columns = frame.columns
                frame.columns = [name.strip() for name in frame.columns]
                if all(is_number(name) for name in frame.columns):
                    raise InputError(f"{self.path} starts with numbers ({', '.join(frame.columns[:3])}, ...); expected a line of column "
                                     "names. Add one.")
                yield frame

    def _own(self, types: dict[str, Any]) -> dict[str, Any]:
        """The types under the names as they stand in the file, blanks included."""
        return {name: types[name.strip()] for name in self._columns if name.strip() in types} if types else {}

    def _head(self, packed: Packed) -> tuple[bytes, bytes]:
        """The line of names, and what was read beyond it."""
        found = packed.take(self.piece_bytes)
        end = next((i for i in _ends(found) if found[:i].count(b'"') % 2 == 0), len(found))
        if not found[:end].strip():
            raise InputError(f"{self.path} is empty; expected a line of column names and rows below it.")
        return found[:end], found[end:]


def _ends(data: bytes) -> Iterator[int]:
    """Where lines end, from the first on."""
    at = data.find(b"\n")
    while at >= 0:
        yield at + 1
        at = data.find(b"\n", at + 1)


def _lines(packed: Packed, rest: bytes, piece_bytes: int) -> Iterator[bytes]:
    """Whole lines, about `piece_bytes` at a time: cut where a line ends outside quotation marks."""
    more = True
    while more or rest:
        block = packed.take(piece_bytes) if more else b""
        more = bool(block)
        rest += block
        cut = _cut(rest) if more else len(rest)
        if rest[:cut].strip():
            yield rest[:cut]
        rest = rest[cut:]


def _cut(data: bytes) -> int:
    """The end of the last line that is whole: before it stands an even number of quotation marks."""
    quotes, end = data.count(b'"'), len(data)
    while True:
        at = data.rfind(b"\n", 0, end)
        if at < 0:
            return 0
        quotes -= data.count(b'"', at, end)
        if quotes % 2 == 0:
            return at + 1
        end = at


def _held(series: Any) -> Words:
    """What a column of one piece holds: nothing but numbers, nothing but yes and no, or words."""
    import polars as pl

    if series.dtype.is_numeric():
        return "number"
    if series.dtype == pl.Boolean:
        return "truth"
    if series.dtype != pl.String:
        return "word"
    words = _stripped(series)
    if words.cast(pl.Float64, strict=False).null_count() == words.null_count():
        return "number"
    return "truth" if bool(words.str.to_lowercase().drop_nulls().is_in(["true", "false"]).all()) else "word"


def _stripped(series: Any) -> Any:
    words = series.str.strip_chars()
    return words.set(words.is_in(MISSING), None)


def _as(kind: Words, series: Any) -> Any:
    import polars as pl

    words = _stripped(series)
    if kind == "number":
        return words.cast(pl.Float64, strict=False)
    return words.str.to_lowercase() == "true" if kind == "truth" else words
