"""Arrays of numbers in MATLAB's files of version 5 to 7, read without trusting the sizes that they state.

MathWorks, MAT-File Format (2023), https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.memory import afford
from chainrule.data.readers.gzipped import refuse_flood

HEADER, TAG = 128, 8
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}                 # by type of element
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}            # by class of array
COMPLEX = 0x0800
MOST_AXES = 32
TIMES = 4            # how much memory numbers take: packed, unpacked, and twice in our order, 4.0 times, measured on 2026-12-01


class Damaged(Exception):
    """What is wrong, without the name of the file."""


def numeric_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names, as they were saved, column-major. Raises InputError, CorruptFile."""
    try:
        afford(TIMES * path.stat().st_size, f"reading {path}")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        order = _order(raw)
        arrays = {}
        for kind, content in _elements(memoryview(raw), HEADER, order):
            if kind == COMPRESSED:
                ((kind, content),) = list(_elements(_unpacked(path, content, order), 0, order))[:1]
            if kind == MATRIX and (one := _array(content, order, names)) is not None:
                arrays[one[0]] = one[1]
    except Damaged as error:
        raise CorruptFile(f"{path} is damaged or no MATLAB file of version 5: {error}. Fetch it again.") from None
    return arrays


def _order(raw: bytes) -> str:
    if len(raw) < HEADER + TAG:
        raise Damaged(f"it ends after {len(raw)} bytes")
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None or struct.unpack(f"{order}H", raw[124:126])[0] != 0x0100:
        raise Damaged("its header names another version")
    return order


def _elements(raw: memoryview, at: int, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one element after the other."""
    while at < len(raw):
        if at + TAG > len(raw):
            raise Damaged(f"an element begins {len(raw) - at} bytes before the end")
        kind, size = struct.unpack(f"{order}II", raw[at : at + TAG])
        if kind >> 16:                       # a small one: its content is in its tag
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise Damaged(f"a small element states {size} bytes")
            at += TAG
        else:
            begin, at = at + TAG, at + TAG + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(raw):
            raise Damaged(f"an element states {size:,} bytes where {len(raw) - begin:,} are left")
        yield kind, raw[begin : begin + size]


def _unpacked(path: Path, content: memoryview, order: str) -> memoryview:
    """A compressed element, no larger than it says it is."""
    packed = zlib.decompressobj()
    try:
        tag = packed.decompress(content, TAG)
        if len(tag) < TAG:
            raise Damaged("a compressed element is empty")
        size = struct.unpack(f"{order}II", tag)[1]
        refuse_flood(path, size, len(content))
        afford(TIMES * size, f"reading {path}, of whose numbers one has {size:,} bytes,")
        rest = packed.decompress(packed.unconsumed_tail, size)
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if len(rest) < size:
        raise Damaged(f"a compressed element holds {len(rest):,} bytes and states {size:,}")
    return memoryview(tag + rest)


def _array(content: memoryview, order: str, names: Collection[str]) -> tuple[str, np.ndarray] | None:
    """Name and numbers of an array; None for one of another name, or of no real numbers."""
    parts = _elements(content, 0, order)
    try:
        (_, flags), (_, axes), (_, label) = next(parts), next(parts), next(parts)
    except StopIteration:
        raise Damaged("an array has no name") from None
    if len(flags) != 8 or len(axes) % 4 or not 8 <= len(axes) <= 4 * MOST_AXES:
        raise Damaged("an array has no sizes")
    (kind,) = struct.unpack(f"{order}I", flags[:4])
    shape, name = struct.unpack(f"{order}{len(axes) // 4}i", axes), bytes(label).decode("latin1")
    if name not in names or kind & 0xFF not in CLASSES or kind & COMPLEX:
        return None
    stored, numbers = next(parts, (0, memoryview(b"")))
    if stored not in STORED or min(shape) < 0:
        raise Damaged(f"the numbers of {name} are of type {stored}, of sizes {shape}")
    dtype = np.dtype(order + STORED[stored])
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise Damaged(f"{name} has {len(numbers):,} bytes for sizes {shape}")
    return name, np.frombuffer(numbers, dtype).astype(CLASSES[kind & 0xFF], copy=False).reshape(shape, order="F")
