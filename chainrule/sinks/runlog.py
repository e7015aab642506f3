"""The run log: every event as one line of JSON, appended as it happens; the page, the report and `resume` read it back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Event, Finished, Looked, Saved, TestOpened, from_json
from chainrule.core.files import open_plain, read_plain, with_room, write_all, write_atomically, write_file
from chainrule.core.looking import BEGINNING
from chainrule.core.text import resuming

MOST_LOOKS = 256                 # that a log holds, beside those of the first steps; then every second one goes
SELDOM = "units", 8              # what is large, and how many looks there are to each that has it
LOOKED = b'{"event": "looked"'      # how the line of one begins
MOST_WAITING = 10_000            # events that are held while a disk is full


class RunLog:
    """Appends each event it is called with to the log at `path`; a kill loses at most the line being written.

    Whatever the disk holds after the last newline is a torn record: the next record starts on a line of its own, so that
    nothing complete is ever glued to it. Of looks it keeps at most 256, beside those of the first steps: then every second one goes, in one
    move that puts another file in the place of the log, and from then on only each second one is written. Raises ChainruleError naming
    the file where it cannot be written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.behind = ""                     # why what was handed over last is not on disk yet; nothing where all is
        self._waiting: list[bytes] = []
        try:
            self._file = open_plain(self.path, os.O_RDWR | os.O_APPEND)
            size = os.fstat(self._file).st_size
            self._torn = size > 0 and self._byte(size - 1) != b"\n"
            self._stride, self._looks = 0, 0     # which looks are written, once one is, and how many there are
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
            write_file(path, "".join(event.to_json() + "\n" for event in events).encode(), "Free some space, then resume again.")
        return cls(path)

    def __call__(self, event: Event) -> None:
        """Append it. What does not fit is held until it does: see `behind`. Raises ChainruleError where the end of a run does not."""
        if isinstance(event, Looked):
            if not self._wants(event):
                return
            if event.step not in BEGINNING and event.number // self._stride % SELDOM[1]:
                event = dataclasses.replace(event, looks={name: value for name, value in event.looks.items() if name != SELDOM[0]})
        self._waiting.append(event.to_json().encode() + b"\n")
        try:
            while self._waiting:
                self._append(self._waiting[0])
                del self._waiting[0]
            self.behind = ""
            if isinstance(event, Saved | Finished):
                os.fsync(self._file)
            if self._looks >= MOST_LOOKS and isinstance(event, Looked):
                self._thin()
        except OSError as error:
            self.behind = str(with_room(error, self.path, sum(map(len, self._waiting))).strerror)
            if isinstance(event, Finished) or len(self._waiting) > MOST_WAITING:
                raise ChainruleError(f"The run log {self.path} cannot be written: {self.behind}. "
                                     f"Make room, then continue with {resuming(self.path.parent)}.") from None

    def _append(self, line: bytes) -> None:
        line, self._torn = (b"\n" if self._torn else b"") + line, True
        write_all(self._file, line)
        self._torn = False

    def _wants(self, event: Looked) -> bool:
        """Whether a look is written: those of the first steps, and of the others as many as are kept; it is then counted."""
        if not self._stride:
            numbers = [look["number"] for look in _looks(read_plain(self.path)) if look["step"] not in BEGINNING]
            common = math.gcd(*numbers) if len(numbers) > 1 else 1
            self._stride, self._looks = common & -common or 1, len(numbers)
        if event.step in BEGINNING:
            return True
        wanted = event.number % self._stride == 0
        self._looks += wanted
        return wanted

    def _thin(self) -> None:
        """Leave every second look out. Where the disk has no room for that, what is there stays."""
        self._stride *= 2
        lines, looks = [], 0
        for line in read_plain(self.path).splitlines(keepends=True):
            look = next(_looks(line), None)
            if look is not None and look["step"] not in BEGINNING:
                if look["number"] % self._stride:
                    continue
                looks += 1
                if look["number"] // self._stride % SELDOM[1] and look["looks"].pop(SELDOM[0], None) is not None:
                    line = json.dumps(look).encode() + b"\n"
            lines.append(line)
        with contextlib.suppress(OSError):
            write_atomically(self.path, b"".join(lines))
            file = open_plain(self.path, os.O_RDWR | os.O_APPEND)
            os.close(self._file)
            self._file = file
        self._looks = looks

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
    except (ValueError, RecursionError):  # not JSON, not the fields of its kind, nested without end
        return None
    return event


def _looks(content: bytes) -> Iterator[dict[str, Any]]:
    """The whole records of looks in the text of a log."""
    for line in content.split(b"\n"):
        if line.startswith(LOOKED) and isinstance(event := _event(line), Looked):
            yield {"event": "looked", **dataclasses.asdict(event)}
