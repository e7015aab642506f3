"""A run as an event file that TensorBoard reads: records framed and messages encoded here, so that no package is needed to write one.

The framing of records (length, check sum, content, check sum) and the messages `Event`, `Summary`, `HistogramProto` and `SummaryMetadata`
are those of TensorFlow, https://www.tensorflow.org/tutorials/load_data/tfrecord; the encoding is that of protocol buffers,
https://protobuf.dev/programming-guides/encoding; the check sum is CRC32C, https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Diagnosed, Evaluated, Event, Looked, Progressed, Sampled, Started, Warned
from chainrule.core.files import write_all
from chainrule.core.text import resuming, sentence

POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8
VERSION = b"brain.Event:2"                  # what the first record of a file says
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5   # wire types of protocol buffers
BEGUN = 1                                   # the status of a session log that makes readers forget later steps
STRING = 7                                  # the type of a tensor of texts
LEAST, MOST = 1e-9, 1e3                     # the ends of the bins of a look
NOT_OF_LAYERS = ("through_time", "divergence")      # lists of a look that go by steps back and by codes
STEPPED = (Progressed, Evaluated, Looked, Sampled)


def crc32c(content: bytes) -> int:
    """The cyclic redundancy check of Castagnoli's polynomial.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in content:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table() -> list[int]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return entries


TABLE = _table()


def masked(content: bytes) -> int:
    """The check sum as records hold it, turned by 15 bits and shifted, so that a record of check sums has one of its own."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def record(content: bytes) -> bytes:
    """One record of a file: how long, the check sum of that, the content, its check sum."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked(length)) + content + struct.pack("<I", masked(content))


def varint(number: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first; a negative one as its complement of 64 bits.

    >>> varint(300).hex()
    'ac02'
    """
    number &= 0xFFFFFFFFFFFFFFFF
    groups = bytearray()
    while number > 0x7F:
        groups.append((number & 0x7F) | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def whole(number: int, value: int) -> bytes:
    """Field `number`, a whole number."""
    return varint(number << 3 | VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | DOUBLE) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    """Field `number` in 32 bits; what they cannot hold is infinite."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", math.copysign(math.inf, value))
    return varint(number << 3 | FLOAT) + packed


def nested(number: int, content: bytes) -> bytes:
    """Field `number`, bytes: a text, a message, or packed numbers."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def event(seconds: float, step: int, content: bytes) -> bytes:
    """The message of one event at a time in seconds since 1970; `content` is one of its further fields."""
    return double(1, seconds) + (whole(2, step) if step else b"") + content


def summary(values: Iterable[bytes]) -> bytes:
    """The field of an event that holds values, each as one of the functions below gives it."""
    return nested(5, b"".join(nested(1, value) for value in values))


def scalar(tag: str, value: float) -> bytes:
    return nested(1, tag.encode("utf-8", "replace")) + single(2, value)


def histogram(tag: str, limits: Sequence[float], counts: Sequence[float]) -> bytes:
    """Counts of bins with their upper limits; the lowest bin begins at zero, and moments are those of the bins' middles."""
    lower = [0.0, *limits[:-1]]
    middles = [(a + b) / 2 for a, b in zip(lower, limits, strict=True)]
    filled = [i for i, count in enumerate(counts) if count]
    least, most = (lower[filled[0]], limits[filled[-1]]) if filled else (0.0, 0.0)
    moments = [sum(c * m**power for c, m in zip(counts, middles, strict=True)) for power in (0, 1, 2)]
    numbers = b"".join(double(i, float(value)) for i, value in enumerate((least, most, *moments), 1))
    packed = [struct.pack(f"<{len(several)}d", *several) for several in (limits, counts)]
    return nested(1, tag.encode("utf-8", "replace")) + nested(5, numbers + nested(6, packed[0]) + nested(7, packed[1]))


def text(tag: str, words: str) -> bytes:
    """A text for the page of texts: a tensor without dimensions."""
    tensor = whole(1, STRING) + nested(2, b"") + nested(8, words.encode("utf-8", "replace"))
    plugin = nested(1, nested(1, b"text"))
    return nested(1, tag.encode("utf-8", "replace")) + nested(8, tensor) + nested(9, plugin)


class TensorBoard:
    """Writes the events of a run into a file of its own in `folder`, `path`. Raises InputError where none can be made there."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time):
        self.clock, self._step, self._resumed = clock, 0, False
        name = f"events.out.tfevents.{int(clock()):010d}.chainrule"
        try:
            self.path, self._file = _new(folder, name)
        except OSError as error:
            raise InputError(f"{folder / name} cannot be made: {error.strerror}. Choose a folder you can write to with --out.") from None
        self._write(nested(3, VERSION), 0)

    def __call__(self, one: Event) -> None:
        if isinstance(one, Started):
            self._resumed = one.resumed
        if isinstance(one, STEPPED):
            self._step = one.step
            if self._resumed:   # what a run before said of this step and later ones is void
                self._write(nested(7, whole(1, BEGUN)), self._step)
                self._resumed = False
        values = list(values_of(one))
        if values:
            self._write(summary(values), self._step)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, content: bytes, step: int) -> None:
        try:
            write_all(self._file, record(event(self.clock(), step, content)))
        except OSError as error:
            raise ChainruleError(f"{self.path} cannot be written: {error.strerror}. Make room, then continue with "
                                 f"{resuming(self.path.parent)}.") from None


def _new(folder: Path, name: str) -> tuple[Path, int]:
    """A file that was not there, under a name with a number where it is taken."""
    for number in range(1000):
        path = folder / (name if not number else f"{name}.{number}")
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        except FileExistsError:
            continue
    raise FileExistsError(17, "a thousand of its name are there")


def values_of(one: Event) -> Iterator[bytes]:
    """What an event says, value by value."""
    if isinstance(one, Progressed):
        yield scalar("step/loss", one.loss)
        yield scalar("step/steps per second", one.steps_per_second)
    elif isinstance(one, Evaluated):
        for part, measures in (("train", one.train), ("valid", one.valid)):
            for name, value in measures.items():
                yield scalar(f"{part}/{name}", float(value))
    elif isinstance(one, Looked):
        yield from _looks(one)
    elif isinstance(one, Sampled):
        yield text("samples", "\n\n".join(one.texts))
    elif isinstance(one, Diagnosed):
        yield text("diagnoses", f"{one.code}, {one.layer}: {sentence(one.evidence)} Remedy: {sentence(one.remedy)}")
    elif isinstance(one, Warned):
        yield text("notes", one.message)


def _looks(one: Looked) -> Iterator[bytes]:
    """Of a look at the layers: each list of a number a layer as scalars, each number as one, its bins as histograms."""
    layers = one.looks.get("layers") or []
    for name, value in one.looks.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield scalar(f"look/{name}", float(value))
        elif isinstance(value, list) and len(value) == len(layers) and name not in NOT_OF_LAYERS:
            for layer, number in zip(layers, value, strict=True):
                if isinstance(number, int | float) and not isinstance(number, bool):
                    yield scalar(f"{name}/{layer}", float(number))
    for name, several in (one.looks.get("histograms") or {}).items():
        for layer, counts in zip(layers, several, strict=False):
            if counts:
                yield histogram(f"{name} by size/{layer}", limits(len(counts)), counts)


def limits(bins: int) -> list[float]:
    """The upper ends of a look's bins, evenly spaced in the logarithm."""
    width = math.log(MOST / LEAST) / bins
    return [LEAST * math.exp(width * i) for i in range(1, bins + 1)]
