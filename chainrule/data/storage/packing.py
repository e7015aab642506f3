"""What is larger than memory: Parquet files and folders of images packed once into blocks beside them, NPY files read where they lie."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.places import cache_folder
from chainrule.data.encode.columns import Table, of_words, refuse_infinite
from chainrule.data.fingerprint import InPieces
from chainrule.data.memory import free_memory
from chainrule.data.readers import arrays, images, table_files, tables
from chainrule.data.storage.blocks import Blocks, Field, pack, rows_in_block, unpack
from chainrule.data.storage.stored import StoredArray, StoredColumn, StoredTable

SHARE = 0.25          # of free memory that a source may fill; encoding and splitting it take about twice as much again
PIECE_BYTES = 2**25   # decoded at once while packing
MOST_WORDS = 2**20    # more different words than this in a column are names or free text, and their list would fill memory
EXACT_IN_SINGLE = ("Boolean", "Int8", "Int16", "UInt8", "UInt16", "Float32", "Null")
KINDS = 2              # counts changes of what columns are packed as, so that older blocks are made anew
Say = Callable[[str], None]


def stays_on_disk(nbytes: int, stream: bool | None) -> bool:
    return nbytes > SHARE * free_memory() if stream is None else stream


def packed_folder() -> Path:
    return cache_folder() / "packed"


def _kept(kind: str, path: Path, same: Callable[[dict[str, Any]], bool], say: Say) -> tuple[Path, Blocks | None]:
    """Where the packed form of `path` belongs, and its blocks if they are there, whole and of this data."""
    place = packed_folder() / f"{path.name}-{hashlib.sha256(f'{kind} {path.absolute()}'.encode()).hexdigest()[:16]}.rows"
    if not place.exists():
        return place, None
    try:
        blocks = unpack(place)
    except CorruptFile:
        say(f"{place} is damaged; it is made anew.")
        place.unlink(missing_ok=True)
        return place, None
    return place, blocks if same(blocks.described) else None


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet(path: Path, stream: bool | None, say: Say) -> tuple[StoredTable, str] | None:
    """The table of a Parquet file in blocks and the SHA-256 of the file; None where it is to be read into memory.

    A file that was touched but holds the same bytes is not packed again. Raises InputError, CorruptFile.
    """
    import polars as pl

    with table_files.parquet_errors(path):
        lazy = pl.scan_parquet(path)
        schema, n = lazy.collect_schema(), int(lazy.select(pl.len()).collect().item())
    nbytes = table_files.size_of(path, schema, n)
    if not n or not stays_on_disk(nbytes, stream):
        return None
    stamp = _stamp(path)

    def same(described: dict[str, Any]) -> bool:
        current: bool = described.get("kinds") == KINDS and (
            described["stamp"] == stamp or described["sha256"] == _sha256(path)
        )
        return current

    place, blocks = _kept("parquet", path, same, say)
    if blocks is None:
        with table_files.parquet_errors(path):
            columns, left_out = _columns(lazy, schema, path)
        fields = [_field(c, str(schema[c.name])) for c in columns]
        say(f"Packing {path} ({n:,} rows of {len(columns)} columns) into {place}, once, so that its rows can stay on disk.")

        def describe() -> dict[str, Any]:
            digest = _sha256(path)
            if _stamp(path) != stamp:
                raise InputError(f"{path} changed while it was being packed. Start again when it is whole.")
            return {"kinds": KINDS, "stamp": stamp, "sha256": digest, "left_out": left_out,
                    "columns": [[c.name, c.kind, list(c.categories)] for c in columns]}

        with table_files.parquet_errors(path):
            pack(place, fields, n, _frames(lazy, n, columns, fields, path), str(path), describe)
        blocks = unpack(place)
    for name in blocks.described["left_out"]:
        say(f"{path}: '{name}' holds more than {MOST_WORDS:,} different words, as names or free text do, and was left out.")
    stored_columns = [StoredColumn(name, kind, tuple(words)) for name, kind, words in blocks.described["columns"]]
    return StoredTable(blocks, stored_columns), blocks.described["sha256"]


def _columns(lazy: Any, schema: Any, path: Path) -> tuple[list[StoredColumn], list[str]]:
    """Each column of a Parquet file with its words, in order; and the names of those with too many."""
    import polars as pl

    columns: list[StoredColumn] = []
    left_out: list[str] = []
    for name, kind in schema.items():
        if kind in (pl.String, pl.Categorical) or (kind in (pl.Int64, pl.UInt64) and _merges(lazy, name)):
            words = pl.col(name).cast(pl.String)
            if lazy.select(words.approx_n_unique()).collect(engine="streaming").item() > 1.1 * MOST_WORDS:
                left_out.append(name)
                continue
            distinct = lazy.select(words.drop_nulls().unique()).collect(engine="streaming")[name].to_list()
            columns.append(StoredColumn(name, "categorical", of_words(name, distinct).categories))
        elif kind == pl.Enum:
            columns.append(StoredColumn(name, "ordered", tuple(kind.categories)))
        elif kind == pl.Boolean:
            columns.append(StoredColumn(name, "boolean"))
        elif kind in (pl.Date, pl.Datetime):
            columns.append(StoredColumn(name, "date"))
        elif kind.is_numeric() or kind == pl.Null:
            columns.append(StoredColumn(name, "numeric"))
        else:
            raise InputError(f"{path}, column '{name}': expected numbers, words, dates or yes/no; got {kind}. Flatten it into columns of "
                             "its own.")
    return columns, left_out


def _merges(lazy: Any, name: str) -> bool:
    """Whether double precision would take different whole numbers of a column for the same, as of ids of 64 bits."""
    import polars as pl

    column = pl.col(name)
    low, high = lazy.select(column.min().alias("low"), column.max().alias("high")).collect(engine="streaming").row(0)
    if low is None or (low >= -(2**53) and high <= 2**53):
        return False
    different, exact = lazy.select(column.n_unique().alias("n"),
                                   column.cast(pl.Float64).n_unique().alias("m")).collect(engine="streaming").row(0)
    return bool(different > exact)


def _field(column: StoredColumn, kind: str) -> Field:
    """Single precision where it holds every value exactly, else double; codes for words."""
    return Field(column.name, "<i4" if column.kind in ("categorical", "ordered") else "<f4" if kind in EXACT_IN_SINGLE else "<f8")


def _frames(lazy: Any, n: int, columns: Sequence[StoredColumn], fields: Sequence[Field], path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The values of all columns, a whole number of blocks at a time. Raises InputError on an infinite number."""
    import narwhals as nw
    import polars as pl

    row_bytes = sum(f.bytes_per_row for f in fields)
    rows = rows_in_block(row_bytes)
    step = rows * max(1, PIECE_BYTES // (rows * row_bytes))
    chosen = lazy.select([c.name for c in columns])
    for at in range(0, n, step):
        frame, piece, seen = chosen.slice(at, step).collect(), {}, []
        for column, field in zip(columns, fields, strict=True):
            series = frame[column.name]
            if column.categories or column.kind in ("categorical", "ordered"):
                codes = series.cast(pl.String).cast(pl.Enum(column.categories)).to_physical()
                piece[column.name] = codes.cast(pl.Int32).fill_null(-1).to_numpy()
            else:
                seen.append(tables.column_of(nw.from_native(series, series_only=True), str(path)))
                piece[column.name] = seen[-1].values.numpy().astype(field.dtype)
        if seen:
            refuse_infinite(Table(tuple(seen)), str(path), at)
        yield piece


def npy(path: Path, target: int | None, stream: bool | None) -> tuple[StoredArray, np.ndarray | None, InPieces] | None:
    """The array of an .npy file read where it lies, without column `target`; that column; and the digest of the rest.

    None where it is to be read into memory: because it is small, or because its rows do not lie one after another (Fortran's
    order). Reads the file once. Raises InputError, CorruptFile.
    """
    try:
        with path.open("rb") as file:
            shape, columns_first, dtype = arrays.read_header(file, path.stat().st_size, str(path))
            begin = file.tell()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    small = not stays_on_disk(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, stream)
    if small or len(shape) < 2 or 0 in shape or dtype.kind not in "iufb" or columns_first:
        return None
    where = str(path)
    rows = rows_in_block(int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize)
    blocks = Blocks(path, shape[0], [Field("x", dtype.str, shape[1:])], rows, begin)
    whole = StoredArray(blocks, lambda values: arrays.as_held(values, where))
    at = None if target is None else arrays.place_of(whole.shape, target, where)
    stored = whole if at is None else StoredArray(blocks, lambda values: arrays.as_held(np.delete(values, at, 1), where))
    digest, column, first = InPieces(stored.dtype, stored.shape), [], 0
    for piece in whole.pieces(torch.arange(len(whole))):
        arrays.refuse_nonfinite(piece, where, first)
        first += len(piece)
        if at is not None:
            column.append(piece[:, at].double().numpy())
            piece = torch.cat([piece[:, :at], piece[:, at + 1 :]], 1)
        digest.add(piece)
    return stored, np.concatenate(column) if column else None, digest


def pictures(folder: Path, paths: Sequence[Path], y: Tensor | None, classes: tuple[str, ...], channels: Any, size: images.Size | None,
             stream: bool | None, say: Say) -> tuple[StoredArray, str] | None:
    """The images of a folder, decoded once into blocks, and their fingerprint; None where they are to be read into memory.

    They are made anew when a file was added, taken away, renamed or written. Raises InputError, CorruptFile.
    """
    wide, high = images.size_of(paths[0]) if size is None else (size[1], size[0])
    if not stays_on_disk(len(paths) * 3 * wide * high, stream):
        return None
    listed = [[os.path.relpath(path, folder), *_stamp(path)] for path in paths]
    listing = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    place, blocks = _kept(f"images {channels} {size}", folder, lambda described: described["listing"] == listing, say)
    if blocks is None:
        shape = images.common_shape(paths, channels, size)
        field = Field("x", "|u1", shape)
        rows = rows_in_block(field.bytes_per_row)
        step = rows * max(1, PIECE_BYTES // (rows * field.bytes_per_row))
        digest = InPieces(torch.uint8, (len(paths), *shape))
        say(f"Packing {len(paths):,} images of {folder} into {place}, once, so that they can stay on disk.")

        def pieces() -> Iterator[dict[str, np.ndarray]]:
            for at in range(0, len(paths), step):
                pixels = images.decoded(paths[at : at + step], shape, size is not None)
                digest.add(torch.from_numpy(pixels))
                yield {"x": pixels}

        pack(place, [field], len(paths), pieces(), str(folder), lambda: {"listing": listing, "fingerprint": digest.of(y, classes)})
        blocks = unpack(place)
    return StoredArray(blocks), blocks.described["fingerprint"]
