"""Files that are either whole or not there: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError

STRAY = ".tmp"
NOT_PLAIN, NO_FILE = "a link, a pipe or a device is in its place", "a pipe or a device is in its place"
FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
OF_FILES = frozenset((".png", ".jpg", ".svg", ".pdf", ".html", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".md", ".parquet", ".feather",
                      ".npy", ".npz", ".safetensors", ".onnx", ".pt2", ".pt", ".zip"))


def writable(path: Path, overwrite: bool, *sources: Any, folder: bool = False) -> Path:
    """The path that a user chose for a file, or a `folder` of files, to be written. Raises InputError where one is there that may not be
    replaced.

    What is among `sources`, which are read for it, is never replaced.
    """
    if path.is_dir() and not folder:
        raise InputError(f"--out {path} is a folder; a file is to be written. Name a file in it.")
    if not path.exists():
        return path
    if any(isinstance(source, str | Path) and Path(source).exists() and path.samefile(source) for source in sources):
        raise InputError(f"--out {path} is the very {'folder' if folder else 'file'} that is read. Name another.")
    if folder and not path.is_dir():
        raise InputError(f"--out {path} is a file; a folder is to be written. Name another.")
    if not overwrite:
        raise InputError(f"{path} is there already. Name another file with --out, or write --overwrite to replace it.")
    return path


def folder_for(path: Path) -> Path:
    """The path that a user chose for a new folder of files. Raises InputError where a file is there, or it is called as files are."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; a folder is expected. Use another --out.")
    if path.suffix.lower() in OF_FILES and not path.exists():
        raise InputError(f"--out {path} is a name for a file; expected that of a folder, into which all is written. Use e.g. --out "
                         f"{path.with_suffix('')}.")
    return path


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a plain file, made where there is none. Raises OSError, also where a link, a pipe or a device has its name.

    What is written into a folder that others may have prepared so stays in it.
    """
    return _opened(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), NOT_PLAIN)


def open_to_read(path: Path) -> int:
    """A descriptor of a plain file that is there. Raises OSError, also where a link, a pipe or a device has its name."""
    return _opened(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0), NOT_PLAIN)


def read_plain(path: Path) -> bytes:
    """What a file holds. Raises OSError, also where a pipe or a device has its name, from which there might be no end of reading."""
    with os.fdopen(_opened(path, os.O_RDONLY, NO_FILE), "rb") as file:
        return file.read()


def _opened(path: Path, flags: int, refusal: str) -> int:
    """A descriptor of a file that is one. Opening itself never waits, as it would for whoever holds the other end of a pipe."""
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise OSError(error.errno, refusal, str(path)) from None
        raise
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, refusal, str(path))


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it: one call may write less. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view):]


def write_atomically(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Replace `path` by `content` so that a reader, or a power cut, sees the old file or the new one and never a part.

    With `keep`, the file that was at `path` stays under that name. Raises OSError (disk full, read-only folder); the old
    files are then untouched and the temporary one gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{STRAY}")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = open_plain(temporary, os.O_WRONLY | os.O_EXCL)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if keep is not None:
            keep_as(path, keep)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise with_room(error, path, len(content)) from None
        raise
    sync_folder(path.parent)


def with_room(error: OSError, path: Path, needed: int | None = None) -> OSError:
    """The error under the name of the file that was to be written; of a full disk with how many bytes are needed, and how many free."""
    words = error.strerror or str(error)
    if error.errno in FULL and "bytes are" not in words:
        free = free_bytes(path.parent)
        room = [f"{count:,} bytes are {what}" for count, what in ((needed, "needed"), (free, "free")) if count is not None]
        words += f" ({', '.join(room)})" if room else ""
    return OSError(error.errno or 0, words, str(path))


def free_bytes(folder: Path) -> int | None:
    """How many bytes may still be written into a folder, or into the nearest that is there; None where nobody can tell."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


@contextlib.contextmanager
def writing(path: Path, remedy: str, needed: int | None = None) -> Iterator[None]:
    """A file is written in here; where that fails, InputError names it, why, and what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {with_room(error, path, needed).strerror}. {remedy}") from None


def write_file(path: Path, content: bytes, remedy: str = "Free some space, or name another place.") -> None:
    """`write_atomically` for what no caller can go on without. Raises InputError."""
    with writing(path, remedy):
        write_atomically(path, content)


def keep_as(path: Path, older: Path) -> None:
    """Give the file at `path` a second name, `older`, replacing what bore it; `path` is never absent in between.

    Where the file system knows no second names, `older` becomes a copy.
    """
    if not path.exists():
        return
    link = older.with_name(f".{older.name}.{os.getpid()}{STRAY}")
    link.unlink(missing_ok=True)
    try:
        try:
            os.link(path, link)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copyfile(path, link)
        os.replace(link, older)
    finally:
        link.unlink(missing_ok=True)  # a rename between two names of one file does nothing and leaves both


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_strays(folder: Path) -> int:
    """Delete temporary files that a killed process left in `folder`; returns how many."""
    strays = list(folder.glob(f".*{STRAY}"))
    for stray in strays:
        stray.unlink(missing_ok=True)
    return len(strays)
