"""Progress on the standard error stream: one calm line in a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TextIO

from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Planned, Progressed, Sampled, Started, Warned
from chainrule.core.measure import main_measure
from chainrule.core.terminal import drawing, printable
from chainrule.core.text import duration, sentence, visible

REFRESH_SECONDS = 0.1  # between two redraws of the line
SHOWN_SYMBOLS = 80     # of a sample
PLAIN_SECONDS = 5.0    # between two plain lines
ENDINGS = {"budget": "Done", "patience": "Done early, since it no longer got better,", "interrupted": "Interrupted",
           "diverged": "Stopped, since the loss was no longer finite,"}


class Progress:
    """Shows a run's events to a person; `quiet` leaves only warnings and diagnoses. Nothing here can stop a run."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.quiet, self.stream, self.clock = quiet, drawing(stream or sys.stderr), clock
        self.line = not quiet and _terminal(self.stream)
        self._live: Any = None
        self._run = ""
        self._epochs: int | None = None
        self._stage, self._since = "", 0
        self._best: Mapping[str, Any] = {}
        self._at: Progressed | None = None
        self._last: Evaluated | None = None
        self._unsaid: Evaluated | None = None
        self._said: set[str] = set()
        self._drawn, self._written = float("-inf"), float("-inf")

    def __call__(self, event: Event) -> None:
        with self._while_open():
            self._show(event)

    def close(self) -> None:
        """Say what is still unsaid and give the terminal back."""
        with self._while_open():
            self._flush()
            self._stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _while_open(self) -> Iterator[None]:
        """A terminal or pipe that has gone away ends the talking, not the run."""
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and not self.stream.closed:
                raise
            self.quiet, self.stream, self.line, self._live = True, io.StringIO(), False, None

    def _show(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._once(f"Note: {event.message}")
        elif isinstance(event, Diagnosed):
            self._once(f"{event.layer}: {sentence(event.evidence)} Remedy: {sentence(event.remedy)}")
        elif isinstance(event, Sampled):
            self._say("\n".join(f"Step {event.step} writes: {beginning(text)}" for text in event.texts))
        elif isinstance(event, Progressed | Evaluated) and self.line:
            self._advance(event)
            self._draw(urgent=isinstance(event, Evaluated))
        elif isinstance(event, Progressed | Evaluated):
            self._advance(event)
            self._report(event)
        elif isinstance(event, Started):
            self._run, self._epochs = event.run, _whole(event.settings.get("epochs"))
            self._say(started(event))
        elif isinstance(event, Entered):
            self._enter(event)
        elif isinstance(event, Planned):
            self._say(planned(event))
        elif isinstance(event, Finished):
            self._flush()
            self._stop()
            self._say(finished(event, self._run))

    def _enter(self, event: Entered) -> None:
        """Say how the stage before ended, in one line, and go on with this one."""
        self._unsaid = self._last if self.line else self._unsaid
        self._flush()
        self._last, self._at, self._best, self._epochs = None, None, {}, event.epochs
        self._stage = f"stage {event.stage + 1}/{event.stages}, {event.name}: "
        self._since = event.since

    def _advance(self, event: Progressed | Evaluated) -> None:
        if isinstance(event, Progressed):
            self._at = event
        else:
            self._last = event
            if event.best:
                self._best = event.valid

    def _say(self, message: str) -> None:
        if not self.quiet:
            self._print(message)

    def _once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._print(message)

    def _print(self, message: str) -> None:
        message = printable(message)
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(message), soft_wrap=True)
            return
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(message.encode(encoding, "replace").decode(encoding) + "\n")
        self.stream.flush()

    def _report(self, event: Event) -> None:
        """Plain lines: the first evaluation, then at most one every few seconds; the last is said by `_flush`."""
        if isinstance(event, Evaluated):
            self._unsaid = event
            if self.clock() - self._written >= PLAIN_SECONDS:
                self._flush()

    def _flush(self) -> None:
        if self._unsaid is not None:
            event, self._unsaid, self._written = self._unsaid, None, self.clock()
            self._say(", ".join([self._where(event.epoch), *self._measures(event), *self._speed()]))

    def _draw(self, urgent: bool) -> None:
        """Redraw the line, at most ten times a second."""
        now = self.clock()
        if not urgent and now - self._drawn < REFRESH_SECONDS:
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self.stream), auto_refresh=False, transient=True)
            self._live.start()
        from rich.text import Text

        self._drawn = now
        console = self._live.console
        self._live.update(Text(printable(self._calm(console.width - 1, console.encoding)), no_wrap=True, overflow="ellipsis"), refresh=True)

    def _calm(self, width: int, encoding: str) -> str:
        epoch = self._at.epoch + 1 if self._at else self._last.epoch if self._last else 1
        parts = [*self._measures(self._last), *self._speed()]
        head, share = self._where(epoch), None
        if self._at is not None and self._at.steps:
            share = min((self._at.step - self._since) / self._at.steps, 1.0)
        room = min(24, width - len("  ".join([head, *parts])) - 2)
        if share is not None and room >= 6:
            full, empty = ("━", "─") if _can_write("━─", encoding) else ("#", "-")
            done = round(room * share)
            head += "  " + full * done + empty * (room - done)
        return "  ".join([head, *parts])

    def _where(self, epoch: int) -> str:
        return self._stage + (f"epoch {min(epoch, self._epochs)}/{self._epochs}" if self._epochs else f"epoch {epoch}")

    def _measures(self, event: Evaluated | None) -> list[str]:
        """Training loss, the validation measure that matters, and its best so far."""
        parts = []
        loss = event.train.get("loss") if event is not None and not self.line else self._at.loss if self._at else None
        if loss is not None:
            parts.append(f"train loss {measure('loss', loss)}")
        name = main_measure(event.valid) if event is not None else None
        if event is not None and name is not None:
            best = "" if event.best or name not in self._best else f" (best {measure(name, self._best[name])})"
            parts.append(f"valid {name} {measure(name, event.valid[name])}{best or (' (best)' if event.best else '')}")
        return parts

    def _speed(self) -> list[str]:
        if self._at is None:
            return []
        left = [] if self._at.remaining is None else [f"{duration(self._at.remaining)} left"]
        return [f"{_short(self._at.steps_per_second)} steps/s", *left]

    def _stop(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()


def beginning(text: str) -> str:
    """As much of a sample as a line holds, blanks and line ends as signs."""
    signs = visible(text).replace("\n", "")
    return signs if len(signs) <= SHOWN_SYMBOLS else signs[:SHOWN_SYMBOLS] + "…"


def started(event: Started) -> str:
    """Which net, how large, learns what from how many rows."""
    data = event.data
    splits = data.get("splits")
    rows = ", ".join(f"{int(n):,} {part}" for part, n in splits.items()) if isinstance(splits, Mapping) else ""
    rows = rows or (f"{int(data['n']):,} rows" if "n" in data else "")
    verb = "Resuming" if event.resumed else "Training"
    parameters = f"{event.parameters:,} parameter{'' if event.parameters == 1 else 's'}"
    chosen = event.settings.get("chosen")
    choices = f" Chosen, since not asked for otherwise: {', '.join(map(str, chosen))}." if chosen and not event.resumed else ""
    return f"{verb} {event.net} ({parameters}) by {event.rule} on {data.get('name', 'the data')}{f' ({rows})' if rows else ''}.{choices}"


def planned(event: Planned) -> str:
    """Which execution plan, how fast, and why."""
    compiling = f", {duration(event.compiling)} to compile" if event.compiling >= 0.1 else ""
    speed = f", {event.seconds_per_step * 1e3:.3g} ms a step" if event.seconds_per_step > 0 else ""
    reason = sentence(event.reason)
    return f"Plan: {event.name} in {event.precision}{speed}{compiling}. {reason[:1].upper()}{reason[1:]}".rstrip()


def finished(event: Finished, run: str) -> str:
    """Why it ended, what came out, how long it took and where it is."""
    best = ", ".join(f"{name} {measure(name, value)}" for name, value in event.best.items())
    seconds = event.timing.get("total", sum(event.timing.values()) or event.seconds)
    epochs = f"{event.epochs} epoch{'' if event.epochs == 1 else 's'} in {duration(seconds)}"
    outcome = f" Best: epoch {event.best_epoch}, valid {best}." if best else " The last weights are kept." if event.best_epoch else ""
    return f"{ENDINGS.get(event.reason, event.reason)} after {epochs}.{outcome}{f' Run: {run}' if run else ''}"


def measure(name: str, value: Any) -> str:
    """A measure as people read it: accuracies and error rates in per cent, the rest with four digits."""
    number = float(value)
    if name in ("accuracy", "balanced accuracy", "balanced_accuracy", "error", "error rate") and number == number:
        return f"{number * 100:.2f} %"
    return f"{number:.4g}"


def _terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty() and os.environ.get("TERM") != "dumb"


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
