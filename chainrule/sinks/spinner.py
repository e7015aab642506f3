"""A word with a sign that turns and a clock that runs, for as long as nothing else can be said."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from chainrule.core.terminal import ERASE, columns, drawing, is_terminal
from chainrule.core.text import duration

TURN_SECONDS = 0.12     # between two signs
PATIENCE_SECONDS = 0.4  # what is over sooner is not announced
SIGNS, PLAIN_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


class Spinner:
    """Turns on a terminal from `start` to `stop`, in a thread of its own; a terminal that has gone away ends it quietly."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        self.stream, self.clock = stream, clock
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._word, self._began = "", 0.0

    def start(self, word: str) -> None:
        """Begin, or go on with another word."""
        if word != self._word:
            self._word, self._began = word, self.clock()
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._turn, daemon=True, name="spinner")
            self._thread.start()

    def stop(self) -> None:
        """End, and leave the line empty. Stopping twice is harmless."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None

    def _turn(self) -> None:
        signs = SIGNS if can_write(SIGNS, getattr(self.stream, "encoding", None)) else PLAIN_SIGNS
        turn, drawn = 0, False
        with contextlib.suppress(OSError, ValueError):
            while not self._over.wait(TURN_SECONDS):
                passed = self.clock() - self._began
                if passed < PATIENCE_SECONDS:
                    continue
                line = f"{signs[turn % len(signs)]} {self._word}, {duration(passed)}"
                self.stream.write(ERASE + line[: columns(self.stream) - 1] + "\r")   # so that what others write begins the line
                self.stream.flush()
                turn, drawn = turn + 1, True
            if drawn:
                self.stream.write(ERASE)
                self.stream.flush()


@contextlib.contextmanager
def turning(word: str, wanted: bool = True) -> Iterator[None]:
    """Turns on the standard error stream for as long as a block takes, where that is a terminal."""
    stream = drawing(sys.stderr)
    if not wanted or not is_terminal(stream):
        yield
        return
    spinner = Spinner(stream)
    spinner.start(word)
    try:
        yield
    finally:
        spinner.stop()


def can_write(text: str, encoding: str | None) -> bool:
    """Whether an encoding has these characters."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
