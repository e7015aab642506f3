"""Tables from files of text, Parquet, Feather, Excel and JSON lines, plain or packed, through polars."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.text import counted, first_line
from chainrule.data import delimited
from chainrule.data.memory import afford
from chainrule.data.readers.gzipped import content, refuse_flood, suffix_of
from chainrule.data.readers.subprocess_check import check_readable
from chainrule.data.readers.tables import Known, Typed, typed
from chainrule.data.reading import USUAL, Reading

# What reading a table takes in memory, as it was measured on 2026-12-01 by tests/helpers/reading_memory.py, and rounded up.
BYTE_TIMES = 3        # of separated values the bytes so often: as they are, and as polars has them
VALUE_BYTES = 45      # and so much for each value: 40 to 42
WORD_BYTES = 64       # of typed columns so much for each word, and 8 for each number,
TIMES = 3.5           # and those so often: numbers 2.2 to 2.4 times, words that all differ 3.1 times
EXCEL_TIMES = 8       # of a workbook the text of its sheets so often: 2.9 to 3.1 times where its numbers are long
TYPED = (".parquet", ".feather", ".arrow", ".ipc")   # whose columns have types of their own
SUFFIXES = tuple(dict.fromkeys((".csv", ".tsv", *TYPED, ".xlsx", ".jsonl", ".ndjson", *delimited.SUFFIXES)))


def read_file(path: Path, reading: Reading = USUAL, known: Known | None = None) -> Typed:
    """The table of a file of one of SUFFIXES, or of such a file packed as .gz or .zip. Raises InputError, CorruptFile."""
    suffix = suffix_of(path)
    if suffix in delimited.SUFFIXES:
        frame, notes, semicolons = read_words(path, reading, known)
        return typed(frame, str(path), reading, known, notes=notes, semicolons=semicolons)
    if suffix in TYPED:
        return typed(_read_columns(path, suffix), str(path), reading, known, wordy=False)
    frame, remarks = _read_excel(path) if suffix == ".xlsx" else (_read_lines(path), [])
    return typed(frame, str(path), reading, known, notes=remarks)


def _read_columns(path: Path, suffix: str) -> Any:
    import polars as pl

    raw = None if path.suffix.lower() == suffix else content(path)
    with parquet_errors(path, raw):
        source = path if raw is None else io.BytesIO(raw)
        lazy = pl.scan_parquet(source) if suffix == ".parquet" else pl.scan_ipc(source)
        rows = int(lazy.select(pl.len()).collect().item())
        afford(int(TIMES * size_of(path, lazy.collect_schema(), rows)), f"reading {rows:,} rows from {path}")
        return pl.read_parquet(source) if suffix == ".parquet" else pl.read_ipc(source)


def size_of(path: Path, schema: Any, rows: int) -> int:
    """How many bytes the values of so many rows take in memory. Raises CorruptFile where a small file declares a flood."""
    import polars as pl

    nbytes = rows * sum(WORD_BYTES if kind in (pl.String, pl.Categorical) else 8 for kind in schema.values())
    refuse_flood(path, nbytes, path.stat().st_size)
    return nbytes


@contextlib.contextmanager
def parquet_errors(path: Path, raw: bytes | None = None) -> Iterator[None]:
    """What polars says of a damaged Parquet or Feather file, or of its unpacked content, as CorruptFile; what would end the process too."""
    import polars as pl

    name = "Parquet" if suffix_of(path) == ".parquet" else "Feather"
    try:
        check_readable(path, name.lower(), raw)
        yield
    except InputError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise CorruptFile(f"{path} is damaged or not a {name} file: {first_line(error)}") from None


def _read_excel(path: Path) -> tuple[Any, list[str]]:
    """The first sheet, and a note where there are more. Raises InputError where the package that reads Excel's files is not installed."""
    import polars as pl

    raw = content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:                  # a workbook is an archive itself
            unpacked = sum(part.file_size for part in parts.infolist())
            refuse_flood(path, unpacked, len(raw))
            afford(EXCEL_TIMES * unpacked, f"reading {path}")
            check_readable(path, "excel", raw)
            sheets = sum(name.startswith("xl/worksheets/") and name.endswith(".xml") for name in parts.namelist())
        frame = pl.read_excel(raw, engine="calamine", infer_schema_length=None)
        return frame, [f"the first of {sheets} sheets is read; save another as CSV to read that."] if sheets > 1 else []
    except InputError:
        raise
    except ImportError:
        raise InputError(f"{path}: reading .xlsx needs the package fastexcel. Install it (pip install 'chainrule[excel]'), or save "
                         "the sheet as CSV.") from None
    except (Exception, pl.exceptions.PanicException) as error:  # calamine's own errors have no common class
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
        raise InputError(f"{path} holds pairs of texts (source, target), which are translated, character by "
                         "character. Leave out --target and other roles of columns, or call the columns otherwise if they are categories.")
    return frame


def read_words(path: Path, reading: Reading, known: Known | None) -> tuple[Any, list[str], bool]:
    """All values of a text file as words; notes; and whether semicolons part them. Raises InputError, CorruptFile."""
    where = str(path)
    raw, notes = delimited.decoded(content(path, BYTE_TIMES), where, reading.encoding)
    dialect = delimited.sniff(raw, where, suffix_of(path), reading, known.names if known else ())
    values = raw.count(dialect.separator.encode()) + raw.count(b"\n") + 1
    afford(BYTE_TIMES * len(raw) + VALUE_BYTES * values, f"reading {path}, which has about {values:,} values,")
    data = delimited.blanks_as_one(raw) if dialect.separator == " " else raw
    frame, comments = dialect.rows(data[dialect.begin :], 1 + data.count(b"\n", 0, dialect.begin))
    comments += dialect.comments
    if comments:
        notes.append(f"{counted(comments, 'line')} that begin{'s' * (comments == 1)} with # {'are' if comments > 1 else 'is'} "
                     "passed over.")
    return frame, [*notes, *dialect.notes], dialect.separator == ";"
