"""Files that are either whole or not there: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError

STRAY = ".tmp"
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


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


def write_atomically(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Replace `path` by `content` so that a reader, or a power cut, sees the old file or the new one and never a part.

    With `keep`, the file that was at `path` stays under that name. Raises OSError (disk full, read-only folder); the old
    files are then untouched and the temporary one gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{STRAY}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view):]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if keep is not None:
            keep_as(path, keep)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


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
