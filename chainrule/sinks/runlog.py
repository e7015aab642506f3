"""The run log: every event as one line of JSON, appended as it happens; the page, the report and `resume` read it back."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Event, Finished, Saved, TestOpened, from_json
from chainrule.core.files import open_plain, read_plain, write_all, write_atomically


class RunLog:
    """Appends each event it is called with to the log at `path`; a kill loses at most the line being written.

    Whatever the disk holds after the last newline is a torn record: the next record starts on a line of its own, so that
    nothing complete is ever glued to it. Raises ChainruleError naming the file where it cannot be written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self._file = open_plain(self.path, os.O_RDWR | os.O_APPEND)
            size = os.fstat(self._file).st_size
            self._torn = size > 0 and self._byte(size - 1) != b"\n"
        except OSError as error:
            raise InputError(f"The run log {self.path} cannot be opened: {error.strerror}. "
                             "Choose a folder you can write to with --out.") from None

    def _byte(self, at: int) -> bytes:
        """The byte at a place of the file; what is written goes to its end wherever that leaves the descriptor."""
        os.lseek(self._file, at, os.SEEK_SET)
        return os.read(self._file, 1)

    @classmethod
    def resume(cls, path: Path, keep_before: int) -> RunLog:
        """The log of a run that goes on from event number `keep_before`, which the checkpoint remembers.

        Later events are forgotten, because they will happen again; openings of the test part are kept, because they
        happened. The log is replaced in one move, without its torn records.
        """
        path = Path(path)
        if path.exists():
            events = [event for event in read(path) if event.at < keep_before or isinstance(event, TestOpened)]
            write_atomically(path, "".join(event.to_json() + "\n" for event in events).encode())
        return cls(path)

    def __call__(self, event: Event) -> None:
        line = (b"\n" if self._torn else b"") + event.to_json().encode() + b"\n"
        self._torn = True
        try:
            write_all(self._file, line)
            self._torn = False
            if isinstance(event, Saved | Finished):
                os.fsync(self._file)
        except OSError as error:
            raise ChainruleError(f"The run log {self.path} cannot be written: {error.strerror}. "
                                 f"Make room, then continue with chainrule resume {self.path.parent}.") from None

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read(path: Path) -> list[Event]:
    """All complete events of a log, also while it is being written; torn records are skipped. Raises InputError where there is none."""
    try:
        content = read_plain(Path(path))
    except OSError as error:
        raise InputError(f"The run log {path} cannot be read: {error.strerror}. Name a run folder that chainrule train wrote.") from None
    return [event for line in content.split(b"\n") if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    try:
        event = from_json(line.decode())
    except (ValueError, TypeError, AttributeError, RecursionError):  # not JSON, fields missing, not an object, nested without end
        return None
    return event if isinstance(event.at, int) else None
