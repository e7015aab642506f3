"""Rows in a file, in blocks that are read one by one: how data larger than memory is kept, and read without being mapped.

Reading goes through `pread` into buffers of our own: pages of a mapped file would count as resident for as long as the system
likes. A block holds its fields one after another, each as a run of values (PAX, Ailamaki et al. (2001), VLDB), so that
one request brings a few hundred rows with all their columns, and each column still lies in one piece.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.files import STRAY, sync_folder

FORMAT = 1
BLOCK_BYTES = 2**18  # a request this long costs a disk hardly more than one for a byte
MOST_ROWS = 8192     # in a block: blocks are what is shuffled first, so they must be many
READ_BYTES = 2**23   # blocks decoded at once
MAGIC = b"chainrows"
TAIL = len(MAGIC) + 8 + 32  # the last bytes of a packed file: length of the description, its SHA-256, the magic


@dataclass(frozen=True)
class Field:
    """One value, or one array of `shape`, in each row; `dtype` as NumPy writes it, such as `<f4`."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def bytes_per_row(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def rows_in_block(bytes_per_row: int) -> int:
    """A power of two, so that a block is at most BLOCK_BYTES where a row is not larger than that."""
    rows: int = 2 ** max(0, min(MOST_ROWS, BLOCK_BYTES // max(bytes_per_row, 1)).bit_length() - 1)
    return rows


class Blocks:
    """`n` rows of `fields` from `offset` of a file on, `rows` to a block; the last block may be short in a file of another's.

    `checks` are the CRC-32 of the blocks of a packed file. Without them the file is the user's own, and reading refuses it
    once it has changed. Raises CorruptFile naming path and offset.
    """

    def __init__(self, path: Path, n: int, fields: Sequence[Field], rows: int, offset: int = 0, checks: np.ndarray | None = None,
                 described: dict[str, Any] | None = None):
        self.path, self.n, self.fields, self.rows, self.offset = path, n, tuple(fields), rows, offset
        self.checks, self.described = checks, described or {}
        self.block_bytes = rows * sum(f.bytes_per_row for f in fields)
        self.count = -(-n // rows)
        self.file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.file)
        self.stamp = self._stamp()
        self.sound = np.zeros(self.count, bool)  # blocks whose check was made; once is enough

    def _stamp(self) -> tuple[int, ...]:
        """What changes when the file is written to; of a packed file also the time of its entry, which nobody can set back."""
        status = os.fstat(self.file)
        return (status.st_size, status.st_mtime_ns, *(() if self.checks is None else (status.st_ctime_ns,)))

    def pieces(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Where to cut ascending row numbers so that each piece needs at most READ_BYTES of blocks."""
        of = rows // self.rows  # (n,) block of each row
        firsts = np.flatnonzero(np.diff(of, prepend=-1))
        cuts = firsts[:: max(1, READ_BYTES // self.block_bytes)].tolist()
        yield from pairwise([*cuts, len(rows)])

    def take(self, rows: np.ndarray, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """The fields (all if None) at ascending row numbers, each (n, ...); reads every block that holds one of them."""
        blocks, slot = np.unique(rows // self.rows, return_inverse=True)
        raw = self._read(blocks)                                        # (blocks, block_bytes)
        within, columns, at = rows % self.rows, {}, 0
        for field in self.fields:
            size = field.bytes_per_row * self.rows
            if names is None or field.name in names:
                values = raw[:, at : at + size].view(field.dtype).reshape(len(blocks), self.rows, *field.shape)
                columns[field.name] = values[slot, within]
            at += size
        return columns

    def _read(self, blocks: np.ndarray) -> np.ndarray:
        raw = np.empty((len(blocks), self.block_bytes), np.uint8)
        ends = [*np.flatnonzero(np.diff(blocks) != 1) + 1, len(blocks)] if len(blocks) else []
        begin, stamp = 0, self._stamp()
        for end in ends:  # a run of neighbours is one request
            self._fill(raw[begin:end].reshape(-1), int(blocks[begin]))
            begin = end
        if self.checks is None:
            if self._stamp() != self.stamp:
                raise CorruptFile(f"{self.path} changed while it was being read (noticed near offset "
                                  f"{self.offset + int(blocks[0]) * self.block_bytes if len(blocks) else 0:,}). Leave it alone while "
                                  "a run reads it, and start again.")
            return raw
        if not self.stamp == stamp == self._stamp():       # written to since the checks were made, or while this was read
            self.sound[:], self.stamp = False, stamp
        for at in np.flatnonzero(~self.sound[blocks]):
            if zlib.crc32(raw[at].data) != self.checks[blocks[at]]:
                with contextlib.suppress(OSError):
                    self.path.unlink()
                raise CorruptFile(f"{self.path} is damaged at offset {int(blocks[at]) * self.block_bytes:,} (its checksum differs); it was "
                                  "discarded. Start again: it is made anew from the data.")
            self.sound[blocks[at]] = True
        return raw

    def _fill(self, into: np.ndarray, block: int) -> None:
        begin = self.offset + block * self.block_bytes
        row_bytes = self.block_bytes // self.rows
        wanted = len(into) if self.checks is not None else min(len(into), self.n * row_bytes - block * self.block_bytes)
        view, done = into.data[:wanted], 0
        while done < wanted:
            try:
                came = os.preadv(self.file, [view[done:]], begin + done)
            except OSError as error:
                raise CorruptFile(f"{self.path} cannot be read at offset {begin + done:,}: {error.strerror or error}.") from None
            if not came:
                raise CorruptFile(f"{self.path} has nothing at offset {begin + done:,}, where {wanted - done:,} more bytes were when it "
                                  "was opened: it was cut short while it was being read. Put it back, and start again.")
            done += came


def pack(path: Path, fields: Sequence[Field], n: int, pieces: Iterable[dict[str, np.ndarray]], what: str,
         describe: Any) -> None:
    """Write rows, a whole number of blocks in each piece but the last, to `path`, which appears only when it is complete.

    `describe()` is called after the last piece and gives what the file says of itself (JSON). Raises InputError with
    the bytes needed where they are not free, or the folder cannot be written.
    """
    rows = rows_in_block(sum(f.bytes_per_row for f in fields))
    needed = -(-n // rows) * (rows * sum(f.bytes_per_row for f in fields) + 4)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{STRAY}")
    refused = f"{what} is to stay on disk, for which it is packed once into {path.parent}; that needs {needed:,} bytes"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        free = shutil.disk_usage(path.parent).free
        if free < needed:
            raise InputError(f"{refused}, and {free:,} are free. Free some, or make that folder a link to a larger disk.")
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                checks = [_write(file, block) for piece in pieces for block in _blocks_of(piece, fields, rows)]
                header = {"format": FORMAT, "n": n, "rows": rows, "fields": [[f.name, f.dtype, list(f.shape)] for f in fields],
                          "checks": zlib.crc32(np.array(checks, "<u4").tobytes()), **describe()}
                text = json.dumps(header).encode()
                file.write(np.array(checks, "<u4").tobytes())
                file.write(text + len(text).to_bytes(8, "little") + hashlib.sha256(text).digest() + MAGIC)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{refused}, and failed ({error.strerror or error}). Make the folder writable, or make it a link to one that "
                         "is.") from None


def _sweep(path: Path) -> None:
    """Remove what processes that were killed left of an earlier attempt."""
    for stray in path.parent.glob(f".{path.name}.*{STRAY}"):
        try:
            os.kill(int(stray.name.split(".")[-2]), 0)
        except ProcessLookupError:
            stray.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue


def _write(file: Any, block: np.ndarray) -> int:
    """Returns its CRC-32."""
    file.write(block.data)
    return zlib.crc32(block.data)


def _blocks_of(piece: dict[str, np.ndarray], fields: Sequence[Field], rows: int) -> Iterator[np.ndarray]:
    """The bytes of each block of a piece, zeros where the last one lacks rows."""
    n, sizes = len(piece[fields[0].name]), [f.bytes_per_row * rows for f in fields]
    for begin in range(0, n, rows):
        block, at = np.zeros(sum(sizes), np.uint8), 0
        for field, size in zip(fields, sizes, strict=True):
            values = piece[field.name][begin : begin + rows]
            block[at : at + size].view(field.dtype).reshape(rows, *field.shape)[: len(values)] = values
            at += size
        yield block


def unpack(path: Path) -> Blocks:
    """The blocks of a packed file. Raises CorruptFile unless it is whole and says of itself what it was written with."""
    refused = CorruptFile(f"{path} is not a whole file of packed rows.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - TAIL))
            tail = file.read(TAIL)
            length, digest = int.from_bytes(tail[:8], "little"), tail[8:40]
            if tail[40:] != MAGIC or length > size - TAIL:
                raise refused
            file.seek(size - TAIL - length)
            text = file.read(length)
            if hashlib.sha256(text).digest() != digest:
                raise refused
            header = json.loads(text)
            if header["format"] != FORMAT:
                raise refused
            fields = [Field(name, dtype, tuple(shape)) for name, dtype, shape in header["fields"]]
            blocks = Blocks(path, header["n"], fields, header["rows"], described=header)
            if size != blocks.count * (blocks.block_bytes + 4) + length + TAIL:
                raise refused
            file.seek(blocks.count * blocks.block_bytes)
            checks = np.frombuffer(file.read(4 * blocks.count), "<u4")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    if zlib.crc32(checks.tobytes()) != header["checks"]:
        raise refused
    blocks.checks = checks
    return blocks
