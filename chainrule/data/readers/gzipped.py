"""Bytes of a file, plain, gzip or the one member of a ZIP archive, read without trusting what it says about itself."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data import delimited
from chainrule.data.memory import afford, free_memory

GZIP_MAGIC = b"\x1f\x8b"
GZIP_MOST = 1040  # deflate cannot expand a byte into more than 1032
MOST_BYTES = 2**31
MOST_RATIO = 100
TIMES = 6         # how much memory reading a file takes, by its content; JSON lines 2.6 to 4.6 times, measured on 2026-12-01
PIECE = 2**20  # unpacked at a time: gzip holds a second copy of what it is asked for
PACKING = (".gz", ".zip")


def unpacked_name(path: Path) -> str:
    """The name of the file without `.gz` or `.zip`, in whatever case these are written."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in PACKING else path.name


def suffix_of(path: Path) -> str:
    """What kind of file it is once unpacked: `.csv` for T.CSV, t.csv.gz, t.csv.zip, and for t.zip that holds a .csv.

    What an archive is called counts where it says that values are separated in it, since such files are often called .txt. Raises as
    `Packed` does where an archive has to be opened.
    """
    suffix = Path(unpacked_name(path)).suffix.lower()
    if path.suffix.lower() == ".zip" and suffix not in delimited.SUFFIXES and path.is_file():
        archive, name = _archive(path)
        archive.close()
        return Path(name).suffix.lower() or suffix
    return suffix


def stem_of(path: Path) -> str:
    """The name of the file without its kind and without what it is packed as."""
    return Path(unpacked_name(path)).stem


class Packed:
    """The content of `path`; `at` is the offset in the unpacked content. Raises InputError, CorruptFile (path and offset)."""

    def __init__(self, path: Path):
        self.path, self.at = path, 0
        try:
            self.stored = path.stat().st_size
            with path.open("rb") as file:
                self.gzip = file.read(2) == GZIP_MAGIC
            if path.suffix.lower() == ".gz" and not self.gzip:
                raise CorruptFile(f"{path}: expected the gzip magic number 1f 8b at offset 0; the file is corrupt or is not gzip. Fetch "
                                  "it again.")
            self.zip = path.suffix.lower() == ".zip"
            self.file = _member(path) if self.zip else cast(BinaryIO, gzip.open(path, "rb") if self.gzip else path.open("rb"))  # noqa: SIM115
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def packed(self) -> bool:
        return self.gzip or self.zip

    @property
    def most(self) -> int:
        """The most bytes that the content can have."""
        return self.stored * GZIP_MOST if self.packed else self.stored

    def fill(self, view: memoryview) -> int:
        """Read into `view` until it is full or the content ends; returns how many bytes came."""
        done = 0
        try:
            while done < len(view):
                came = self.file.readinto(view[done : done + PIECE])  # type: ignore[attr-defined]
                if not came:
                    break
                done += came
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise CorruptFile(f"{self.path}: the {'ZIP' if self.zip else 'gzip'} data is corrupt or cut short near offset "
                              f"{self.at + done} of its content ({error}). Fetch the file again.") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from None
        self.at += done
        return done

    def take(self, count: int) -> bytes:
        """Up to `count` bytes, for a small `count`."""
        into = bytearray(count)
        return bytes(into[: self.fill(memoryview(into))])


def _archive(path: Path) -> tuple[zipfile.ZipFile, str]:
    """A ZIP archive, and the name of the one file that it holds. Raises InputError where it holds several, CorruptFile where it is none."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:      # names that are no text among them
        raise CorruptFile(f"{path} is damaged, locked, or no ZIP archive: {error}. Fetch it again, or unpack it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    named = [e.filename for e in archive.infolist() if e.filename and not e.filename.endswith("/")]
    names = [name for name in named if not name.startswith(("__MACOSX/", "."))]
    if len(names) != 1:
        archive.close()
        listed = f" ({', '.join(names[:5])})" if names else ""
        raise InputError(f"{path} holds {len(names)} files{listed}; expected one table. Unpack it and give the file that is meant.")
    return archive, names[0]


def _member(path: Path) -> BinaryIO:
    """The one file that a ZIP archive holds, opened. Raises as `_archive`, and CorruptFile where a password locks it."""
    archive, name = _archive(path)
    try:
        return cast(BinaryIO, archive.open(name))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise CorruptFile(f"{path} is damaged, locked, or no ZIP archive: {error}. Fetch it again, or unpack it.") from None


def refuse_flood(path: Path, nbytes: int, stored: int) -> None:
    """Raises CorruptFile where so many unpacked bytes are more than any sound file of that size holds."""
    if nbytes > max(MOST_BYTES, MOST_RATIO * stored):
        raise CorruptFile(f"{path} unpacks to more than {MOST_RATIO} times its size and {MOST_BYTES:,} bytes; it was left alone. "
                          "If it is sound, unpack it first and give the plain file.")


def content(path: Path, times: int = TIMES) -> bytes:
    """All of a file, unpacked where it is gzip or ZIP.

    Reading such a file takes `times` its content. Raises InputError before that is more than the free memory, and CorruptFile where a small
    file would flood it.
    """
    with Packed(path) as packed:
        if not packed.packed:
            afford(times * packed.stored, f"reading {path}")
            return packed.file.read()
        room = free_memory()
        into, block = io.BytesIO(), bytearray(2**20)
        while came := packed.fill(memoryview(block)):
            into.write(memoryview(block)[:came])
            if packed.at > max(MOST_BYTES, MOST_RATIO * packed.stored) or times * packed.at > room:
                refuse_flood(path, packed.at, packed.stored)
                afford(times * packed.at, f"reading {path}, whose first {packed.at:,} bytes are unpacked,", room)
        return into.getvalue()
