"""The rows of a table file a piece at a time, each column read as those of training were."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from chainrule.core.errors import InputError
from chainrule.core.places import expanded
from chainrule.data import delimited
from chainrule.data.delimited import Dialect
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.formats import Format
from chainrule.data.new_rows import known_of, reading_of
from chainrule.data.readers.gzipped import Packed, stem_of, suffix_of
from chainrule.data.readers.table_files import parquet_errors
from chainrule.data.readers.tables import Typed, typed

PIECE_BYTES = 2**23
UNPACKED = 8           # times its size: what a compressed file holds, about
PIECE_VALUES = 2**21   # of a Parquet file, rows times columns
WIDE = ("utf-16", "utf_16", "utf16", "utf-32", "utf_32", "utf32")  # encodings whose lines do not end at a byte
Made = TypeVar("Made")


class Rows:
    """A table file read as `like` was; `expected` is how many rows it has, once the first piece came."""

    wordy = True  # whether all values are words, which have no types of their own

    def __init__(self, path: Path, piece_bytes: int, like: InputEncoder):
        self.path, self.piece_bytes = path, piece_bytes
        self.name, self.reading, self.known = stem_of(path), reading_of(like), known_of(like)
        self.expected = self.before = 0

    @property
    def nbytes(self) -> int:
        """About what its rows take in memory."""
        return self.path.stat().st_size * (1 if self.path.suffix.lower() in delimited.SUFFIXES else UNPACKED)

    def frames(self) -> Iterator[Any]:
        """Frames of consecutive rows, from the first row on."""
        raise NotImplementedError

    def tables(self) -> Iterator[Typed]:
        """The rows, in order, with their labels. Raises InputError, CorruptFile, with rows counted from the start of the file."""
        self.before = 0
        known = self.known
        for frame in self.frames():
            if known is self.known:  # columns that training did not read are not read here either
                strange = set(frame.columns) - {*known.formats, *known.kinds, *known.lenient}
                known = replace(known, formats={**known.formats, **dict.fromkeys(strange, Format("out"))})
            piece = self.located(lambda: typed(frame, str(self.path), self.reading, known, wordy=self.wordy))  # noqa: B023 (called at once)
            known = replace(known, formats={**piece.formats, **known.formats})
            yield piece
            self.before += len(frame)

    def located(self, make: Callable[[], Made]) -> Made:
        """What `make` makes of the piece read last; an error that names a row of it names the row of the file."""
        try:
            return make()
        except InputError as error:
            message = re.sub(r"(?<=, row )\d+", lambda row: str(int(row[0]) + self.before), str(error), count=1)
            raise type(error)(message) from None


def rowwise(what: Any, like: InputEncoder, piece_bytes: int = PIECE_BYTES) -> Rows | None:
    """The rows of a text or Parquet file, the text packed or not, for a network trained on `like`; None for anything else."""
    path = expanded(what) if isinstance(what, str | Path) else None
    if path is None or not path.is_file():
        return None
    if path.suffix.lower() == ".parquet":
        return ParquetRows(path, piece_bytes, like)
    if suffix_of(path) not in delimited.SUFFIXES:
        return None
    rows = TextRows(path, piece_bytes, like)
    return None if rows.wide else rows


class ParquetRows(Rows):
    """A Parquet file: its columns have their types already."""

    wordy = False

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
    """Separated values. The file is read twice: to count its rows and learn its encoding, then for the values."""

    @property
    def wide(self) -> bool:
        """Whether the text is in an encoding that cannot be cut at the byte that ends a line."""
        if self.reading.encoding is not None:
            return self.reading.encoding.lower().startswith(WIDE)
        with Packed(self.path) as packed:
            return packed.take(2) in (b"\xff\xfe", b"\xfe\xff")

    def frames(self) -> Iterator[Any]:
        encoding = self.reading.encoding or self._encoding()
        first = next(self._pieces(encoding), (1, b""))[1]
        dialect = delimited.sniff(first, str(self.path), suffix_of(self.path), self.reading, self.known.names)
        self.expected = sum(int(dialect.checked(data, number)[1].sum()) for number, data in self._bodies(dialect, encoding))
        if not self.expected:
            raise InputError(f"{self.path} has no rows; expected at least one below the column names.")
        for number, data in self._bodies(dialect, encoding):
            frame, _ = dialect.rows(data, number)
            if len(frame):
                yield frame

    def _bodies(self, dialect: Dialect, encoding: str) -> Iterator[tuple[int, bytes]]:
        """The pieces without the lines above the first row, and the number of their first line."""
        begin = dialect.begin
        for number, lines in self._pieces(encoding):
            data = delimited.blanks_as_one(lines) if dialect.separator == " " else lines
            yield number + data.count(b"\n", 0, begin), data[begin:]
            begin = 0

    def _encoding(self) -> str:
        """UTF-8, or Western where some line is not UTF-8. Raises CorruptFile where it is neither."""
        with Packed(self.path) as packed:
            for lines in _lines(packed, self.piece_bytes):
                if delimited.not_utf8(lines) is not None:
                    delimited.decoded(lines, str(self.path), None)
                    return "cp1252"
        return "utf-8"

    def _pieces(self, encoding: str) -> Iterator[tuple[int, bytes]]:
        """Whole lines in UTF-8, in order, and the number of the first of them, from 1."""
        number = 1
        with Packed(self.path) as packed:
            for lines in _lines(packed, self.piece_bytes):
                yield number, delimited.decoded(lines, str(self.path), encoding)[0]
                number += lines.count(b"\n")


def _lines(packed: Packed, piece_bytes: int) -> Iterator[bytes]:
    """Whole lines, about `piece_bytes` at a time: cut where a line ends outside quotation marks."""
    more, rest = True, b""
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

