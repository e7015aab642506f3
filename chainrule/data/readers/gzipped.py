"""Bytes of a file, plain or gzip, read without trusting what it says about itself."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from chainrule.core.errors import CorruptFile, InputError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_MOST = 1040  # deflate cannot expand a byte into more than 1032
MOST_BYTES = 2**31
MOST_RATIO = 100
PIECE = 2**20  # unpacked at a time: gzip holds a second copy of what it is asked for


class Packed:
    """The content of `path`; `at` is the offset in the unpacked content. Raises InputError, CorruptFile (path and offset)."""

    def __init__(self, path: Path):
        self.path, self.at = path, 0
        try:
            self.stored = path.stat().st_size
            with path.open("rb") as file:
                self.gzip = file.read(2) == GZIP_MAGIC
            if path.suffix == ".gz" and not self.gzip:
                raise CorruptFile(f"{path}: expected the gzip magic number 1f 8b at offset 0; the file is corrupt or is not gzip. Fetch "
                                  "it again.")
            self.file = cast(BinaryIO, gzip.open(path, "rb") if self.gzip else path.open("rb"))  # noqa: SIM115 (closed on exit)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def most(self) -> int:
        """The most bytes that the content can have."""
        return self.stored * GZIP_MOST if self.gzip else self.stored

    def fill(self, view: memoryview) -> int:
        """Read into `view` until it is full or the content ends; returns how many bytes came."""
        done = 0
        try:
            while done < len(view):
                came = self.file.readinto(view[done : done + PIECE])  # type: ignore[attr-defined]
                if not came:
                    break
                done += came
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CorruptFile(f"{self.path}: the gzip data is corrupt or cut short near offset {self.at + done} of its content "
                              f"({error}). Fetch the file again.") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from None
        self.at += done
        return done

    def take(self, count: int) -> bytes:
        """Up to `count` bytes, for a small `count`."""
        into = bytearray(count)
        return bytes(into[: self.fill(memoryview(into))])


def content(path: Path) -> bytes:
    """All of a file, unpacked where it is gzip. Raises CorruptFile where unpacking would flood the memory."""
    with Packed(path) as packed:
        if not packed.gzip:
            return packed.file.read()
        into, block = io.BytesIO(), bytearray(2**20)
        while came := packed.fill(memoryview(block)):
            into.write(memoryview(block)[:came])
            if packed.at > max(MOST_BYTES, MOST_RATIO * packed.stored):
                raise CorruptFile(f"{path} unpacks to more than {MOST_RATIO} times its size and {MOST_BYTES:,} bytes; it was left alone. "
                                  "If it is sound, unpack it first and give the plain file.")
        return into.getvalue()
