"""Many runs at once on the standard error stream: how many have ended, how far the others are, the best so far; one calm line."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from chainrule.core.events import Diagnosed, Evaluated, Event, Finished, Planned, Warned
from chainrule.core.terminal import ERASE, columns, drawing, fitting, is_terminal, printable
from chainrule.core.text import sentence

REFRESH_SECONDS = 0.2   # between two redraws of the line
PLAIN_SECONDS = 5.0     # between two plain lines


class Tally:
    """Called with (number of the run, event). A terminal that has gone away ends the talking, not the training."""

    def __init__(self, names: Sequence[str], stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.names, self.stream, self.clock = list(names), drawing(stream or sys.stderr), clock
        self.line = is_terminal(self.stream)
        self.epochs: dict[int, int] = {}
        self.ended: set[int] = set()
        self.best = ("", "", float("inf"))
        self._drawn, self._open = float("-inf"), False
        self._plans: set[str] = set()
        self._counts: dict[str, int] = {}

    def __call__(self, i: int, event: Event) -> None:
        if isinstance(event, Planned):
            if event.name not in self._plans:
                self._say(f"Plan {event.name}: {event.reason}")
            self._plans.add(event.name)
        elif isinstance(event, Diagnosed):
            self._tell(i, f"{event.layer}: {sentence(event.evidence)} Remedy: {sentence(event.remedy)}")
        elif isinstance(event, Warned):
            self._tell(i, event.message)
        elif isinstance(event, Evaluated):
            self.epochs[i] = event.epoch
            name = "accuracy" if "accuracy" in event.valid else "loss"
            cost = -event.valid[name] if name == "accuracy" else event.valid.get(name, float("inf"))
            if cost < self.best[2]:
                self.best = (self.names[i], f"{name} {event.valid[name]:.4g}", cost)
        if isinstance(event, Finished):
            self.ended.add(i)
        if isinstance(event, Evaluated | Finished):
            self._draw(last=len(self.ended) == len(self.names))

    def close(self) -> None:
        """Leave the line as it is and go on below it."""
        if self._open:
            self._write("\n")
            self._open = False
        for message, count in self._counts.items():
            if count > 1:
                self._say(f"in {count} of {len(self.names)} runs: {message}")
        self._counts = {}

    def _draw(self, last: bool) -> None:
        now = self.clock()
        if not last and now - self._drawn < (REFRESH_SECONDS if self.line else PLAIN_SECONDS):
            return
        self._drawn = now
        going = [e for i, e in self.epochs.items() if i not in self.ended]
        at = f", the others after epoch {min(going)}" + (f" to {max(going)}" if max(going) > min(going) else "") if going else ""
        best = f"; best {self.best[1]} ({self.best[0]})" if self.best[0] else ""
        text = f"{len(self.ended)} of {len(self.names)} runs ended{at}{best}"
        if self.line:
            self._write(f"{ERASE}{printable(text)[: columns(self.stream) - 1]}")
            self._open = True
        else:
            self._write(printable(text) + "\n")

    def _tell(self, i: int, message: str) -> None:
        """What a run has to say, once; at the end how many others said the same."""
        if message not in self._counts:
            self._say(f"{self.names[i]}: {message}")
        self._counts[message] = self._counts.get(message, 0) + 1

    def _say(self, text: str) -> None:
        if self._open:
            self._write(ERASE)
            self._open = False
        self._write(fitting(printable(text), self.stream) + "\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()
