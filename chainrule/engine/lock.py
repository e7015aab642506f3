"""One process per run folder: the lock names its holder, and a dead holder's lock is taken over."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from chainrule.core.errors import InputError
from chainrule.core.files import NOT_PLAIN, open_plain, read_plain, with_room, write_all

NAME, GUARD = "lock", "lock.guard"  # what says who, for people; and what is locked, which on Windows nobody else may read


class RunLock:
    """An exclusive lock on `<run>/lock.guard`, the holder's number in `<run>/lock`; the kernel drops it when its holder dies, however.

    `flock` where there is one, the system's own lock on Windows.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self._guard = FileLock(folder / GUARD, timeout=0)

    def __enter__(self) -> RunLock:
        guard = self.path.with_name(GUARD)
        if guard.is_symlink() or (guard.exists() and not guard.is_file()):
            raise InputError(f"{guard} cannot be locked: {NOT_PLAIN}. Remove it, or use another --out.")
        try:
            self._guard.acquire()
        except Timeout:
            raise InputError(f"{self.path.parent} is being trained by process {self._holder()}. Wait for it, stop it, "
                             "or use another --out.") from None
        except OSError as error:
            raise InputError(f"{guard} cannot be locked: {error.strerror or error}. Put that right, or use another "
                             "--out.") from None
        holder = f"{os.getpid()}\n".encode()
        try:
            descriptor = open_plain(self.path, os.O_WRONLY)
            try:
                os.ftruncate(descriptor, 0)
                write_all(descriptor, holder)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._guard.release()
            failed = with_room(error, self.path, len(holder))
            raise InputError(f"{self.path} cannot be written: {failed.strerror}. Put that right, or use another --out.") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._guard.release()

    def _holder(self) -> str:
        """The number that the holder wrote, which it may not have done yet."""
        try:
            return read_plain(self.path)[:32].decode(errors="replace").strip() or "another process"
        except OSError:
            return "another process"
