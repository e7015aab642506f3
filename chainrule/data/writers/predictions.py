"""Predictions as a table on disk: CSV, Parquet or NPZ, one row a sample, written block by block; the file is whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chainrule.core.errors import InputError
from chainrule.core.files import STRAY, sync_folder, with_room
from chainrule.core.text import first_line
from chainrule.data.encode.columns import is_number

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run rather than show
SUFFIXES = (".csv", ".parquet", ".npz")
PART_BYTES = 2**25  # of Parquet and NPZ, kept in memory before they go to disk


class Table:
    """A table that grows by `add` and appears under its name when the context is left in good order, replacing what was there.

    The suffix decides: .csv, .parquet or .npz. Raises InputError for another one, or where it cannot be written.
    """

    def __init__(self, path: Path):
        if path.suffix not in SUFFIXES:
            raise InputError(f"--out {path} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
        self.path, self.rows = path, 0
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}{STRAY}")
        self._frames: list[Any] = []
        self._parts: list[Path] = []
        self._folder: Path | None = None

    def __enter__(self) -> Table:
        with self._named():
            self.temporary.unlink(missing_ok=True)
            self._file: BinaryIO = self.temporary.open("xb")
        return self

    def add(self, columns: Mapping[str, Any]) -> None:
        """Further rows: columns (n,) of numbers or words under their names."""
        import polars

        rows = len(next(iter(columns.values()), ()))
        series = [_shielded_words(polars.Series(name, column)) for name, column in columns.items()]
        frame = polars.DataFrame(series if self.path.suffix == ".npz" else [s.alias(shielded(s.name)) for s in series])
        with self._named():
            if self.path.suffix == ".csv":
                frame.write_csv(self._file, include_header=self._file.tell() == 0)
            else:
                self._frames.append(frame)
                if sum(f.estimated_size() for f in self._frames) > PART_BYTES:
                    self._part()
        self.rows += rows

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._named():
                if kind is None:
                    if self.path.suffix != ".csv":
                        self._join()
                    self._file.flush()
                    os.fsync(self._file.fileno())
                self._file.close()
                if kind is None:
                    os.replace(self.temporary, self.path)
                    sync_folder(self.path.parent)
        finally:
            with contextlib.suppress(OSError):
                self.temporary.unlink(missing_ok=True)
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _part(self) -> None:
        """Put what is held in memory into a file of its own, beside the table."""
        import polars

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(STRAY, f".{self.path.name}.", self.path.absolute().parent))
        self._parts.append(self._folder / f"{len(self._parts):06}.parquet")
        polars.concat(self._frames).write_parquet(self._parts[-1])
        self._frames = []

    def _join(self) -> None:
        """The parts, in their order, as one file."""
        import polars

        if self.path.suffix == ".npz":
            self._zip()
        elif not self._parts:
            polars.concat(self._frames).write_parquet(self._file)
        else:
            if self._frames:
                self._part()
            polars.scan_parquet(self._parts).sink_parquet(self.temporary)

    def _zip(self) -> None:
        """An array a column, each written part by part."""
        import polars

        if self._frames:
            self._part()
        first = polars.read_parquet(self._parts[0])
        with zipfile.ZipFile(self._file, "w") as archive:
            for name in first.columns:
                words, gaps = first[name].dtype == polars.String, self._gaps(name)
                columns = (polars.read_parquet(part, columns=[name])[name] for part in self._parts)
                columns = (column.fill_null("") if words else column for column in columns)
                kind = np.dtype(np.float64) if gaps and first[name].dtype.is_integer() else np.dtype(first[name].to_numpy().dtype)
                if words:
                    longest = max(polars.scan_parquet(part).select(polars.col(name).str.len_chars().max()).collect().item() or 1
                                  for part in self._parts)
                    kind = np.dtype(f"<U{longest}")
                elif gaps and first[name].dtype == polars.Boolean:
                    columns, kind = (column.cast(polars.Float64) for column in columns), np.dtype(np.float64)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (self.rows,)}
                    np.lib.format.write_array_header_1_0(file, header)
                    for column in columns:
                        file.write(column.to_numpy().astype(kind).tobytes())

    def _gaps(self, name: str) -> bool:
        """Whether some value of a column is missing."""
        import polars

        return any(polars.scan_parquet(part).select(polars.col(name).null_count()).collect().item() for part in self._parts)

    @contextlib.contextmanager
    def _named(self) -> Any:
        import polars

        try:
            yield
        except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
            failed = error if isinstance(error, OSError) and error.errno else OSError(_number(str(error)), first_line(error))
            raise InputError(f"--out {self.path} cannot be written: {with_room(failed, self.path).strerror}. Name another file.") from None


def _number(words: str) -> int:
    """The number of an error of the system that polars passes on in words."""
    number = re.search(r"os error (\d+)", words)
    return int(number[1]) if number else 0


def _shielded_words(series: Any) -> Any:
    """A polars Series whose words a spreadsheet shows instead of running them."""
    import polars

    if series.dtype != polars.String or not series.str.slice(0, 1).is_in(list(FORMULA)).any():
        return series
    return polars.Series(series.name, [None if word is None else shielded(word) for word in series.to_list()], dtype=polars.String)


def shielded(name: str) -> str:
    """A name that a spreadsheet shows instead of running it."""
    return f"'{name}" if name.startswith(FORMULA) and not is_number(name) else name
