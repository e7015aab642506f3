"""One process per run folder: the lock names its holder, and a dead holder's lock is taken over."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from chainrule.core.errors import InputError


class RunLock:
    """An exclusive `flock` on `<run>/lock`; the kernel drops it when its holder dies, however it dies."""

    def __init__(self, folder: Path):
        self.path = folder / "lock"
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(f"{self.path.parent} is being trained by process {holder}. Wait for it, stop it, "
                             "or use another --out.") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
