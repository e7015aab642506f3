"""Progress on the standard error stream: a bar, the losses and the gradient in a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TextIO

from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Looked, Planned, Progressed, Sampled, Started, Warned
from chainrule.core.flow import flow_of
from chainrule.core.flow import line as flow_line
from chainrule.core.measure import main_measure
from chainrule.core.terminal import columns, drawing, fitting, in_colour, is_terminal, painted, printable
from chainrule.core.text import duration
from chainrule.sinks.lines import Losses, bar_line, packed
from chainrule.sinks.spinner import Spinner, can_write
from chainrule.sinks.words import beginning, diagnosed, finished, measure, planned, short, started

REFRESH_SECONDS = 0.1  # between two redraws of the lines
PLAIN_SECONDS = 5.0    # between two plain lines


class Progress:
    """Shows a run's events to a person; `quiet` leaves only warnings and diagnoses. Nothing here can stop a run."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.quiet, self.stream, self.clock = quiet, drawing(stream or sys.stderr), clock
        self.line = not quiet and is_terminal(self.stream)
        self.colour = in_colour(self.stream)
        self.spinner = Spinner(self.stream, clock)
        self._live: Any = None
        self._epochs: int | None = None
        self._run, self._stage, self._since, self._began = "RUN", "", 0, 0.0
        self._timed = self._resumed = False
        self._best: Mapping[str, Any] = {}
        self._at: Progressed | None = None
        self._last: Evaluated | None = None
        self._unsaid: Evaluated | None = None
        self._losses = Losses()
        self._flow = ""
        self._further: list[str] = []
        self._said: set[str] = set()
        self._drawn, self._written = float("-inf"), float("-inf")

    def __call__(self, event: Event) -> None:
        with self._while_open():
            self.spinner.stop()
            self._show(event)
            if self.line and self._live is None and self._at is None and isinstance(event, Started | Entered | Warned):
                self.spinner.start("Planning and compiling")

    def close(self) -> None:
        """Say what is still unsaid and give the terminal back."""
        with self._while_open():
            self.spinner.stop()
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
            self.spinner = Spinner(self.stream)

    def _show(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._once(event.message, "Note: ", "cyan")
        elif isinstance(event, Diagnosed):
            self._diagnose(event)
        elif isinstance(event, Looked):
            self._look(event)
        elif isinstance(event, Sampled) and event.texts:
            self._say("\n".join(f"Step {event.step} writes: {beginning(text)}" for text in event.texts))
        elif isinstance(event, Progressed | Evaluated) and self.line:
            self._advance(event)
            self._draw(urgent=isinstance(event, Evaluated))
        elif isinstance(event, Progressed | Evaluated):
            self._advance(event)
            self._report(event)
        elif isinstance(event, Started):
            self._run, self._resumed = event.run or "RUN", event.resumed
            self._epochs, self._timed = _whole(event.settings.get("epochs")), event.settings.get("seconds") is not None
            self._say("\n".join(started(event)))
        elif isinstance(event, Entered):
            self._enter(event)
        elif isinstance(event, Planned):
            self._began = event.seconds
            self._say(planned(event))
        elif isinstance(event, Finished):
            self._flush()
            self._stop()
            self._end(event)

    def _enter(self, event: Entered) -> None:
        """Say how the stage before ended, in one line, and go on with this one."""
        self._unsaid = self._last if self.line else self._unsaid
        self._flush()
        self._stop()
        self._last, self._at, self._best, self._epochs, self.spinner = None, None, {}, event.epochs, Spinner(self.stream, self.clock)
        self._stage = f"stage {event.stage + 1}/{event.stages}, {event.name}: "
        self._since, self._began, self._losses = event.since, event.seconds, Losses()

    def _advance(self, event: Progressed | Evaluated) -> None:
        if isinstance(event, Progressed):
            self._at = event
            self._losses.add(event.loss)
        else:
            self._last = event
            if event.best:
                self._best = event.valid

    def _look(self, event: Looked) -> None:
        """Remember what the gradient is, for the line below the measures."""
        flow = flow_of([event])
        line = "" if flow is None else flow_line(flow)
        self._flow = line if can_write(line, getattr(self.stream, "encoding", None)) else ""

    def _diagnose(self, event: Diagnosed) -> None:
        """A first cause at once; of what else there is the names at the end."""
        if event.first or event.fatal or not event.name:
            self._once(diagnosed(event), "Diagnosis: ", "yellow")
        else:
            self._further.append(event.name)

    def _end(self, event: Finished) -> None:
        if self._further:
            names = ", ".join(dict.fromkeys(self._further))
            self._once(f"{names}; chainrule doctor {self._run} tells what shows it and what to do.", "Also: ", "yellow")
        if self.line and (line := self._sparks(self.stream.encoding)):
            self._say(f"Loss {line} {measure('loss', self._losses.points[0])} to {measure('loss', self._losses.points[-1])}")
        ended_before = self._resumed and self._at is None and self._last is None and event.reason in ("budget", "patience")
        self._say(("Nothing was left to do. " if ended_before else "") + finished(event))

    def _say(self, message: str) -> None:
        if not self.quiet:
            self._print(message)

    def _once(self, message: str, label: str, colour: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._print(message, label, colour)

    def _print(self, message: str, label: str = "", colour: str = "") -> None:
        """Lines above those that are redrawn, clean, and broken between words in a terminal; the label in a colour where there are some."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        text = fitting(printable(label + message), self.stream).encode(encoding, "replace").decode(encoding)
        if label and self.colour:
            text = painted(label.rstrip(), colour) + text[len(label.rstrip()):]
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text.from_ansi(text), soft_wrap=True)
            return
        self.stream.write(text + "\n")
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
            self._say(", ".join([self._where(event.epoch), *self._measures(event), *self._speed(), *self._left()[:1]]))

    def _draw(self, urgent: bool) -> None:
        """Redraw the lines, at most ten times a second."""
        now = self.clock()
        if not urgent and now - self._drawn < REFRESH_SECONDS:
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self.stream, width=columns(self.stream)), auto_refresh=False, transient=True)
            self._live.start()
        from rich.text import Text

        self._drawn = now
        width = columns(self.stream)
        self._live.console.width = width
        lines = self.frame(width - 1, self._live.console.encoding)
        self._live.update(Text(printable("\n".join(lines)), no_wrap=True, overflow="ellipsis"), refresh=True)

    def frame(self, width: int, encoding: str) -> list[str]:
        """The lines that are redrawn: where it is, the bar and the time left; the measures; the gradient. None is wider than `width`."""
        epoch = self._at.epoch + 1 if self._at else self._last.epoch if self._last else 1
        place, signs = self._where(epoch), "━─" if can_write("━─", encoding) else "#-"
        first = bar_line(width, [place, place.removeprefix(self._stage), place.rpartition(" ")[2]], self._share(), self._left(), signs)
        loss, *valid = self._measures(self._last) or [""]
        measures = [loss, self._sparks(encoding), *valid, *self._speed()]
        return [*packed(width, [first]), *packed(width, measures), *packed(width, [self._flow])]

    def _sparks(self, encoding: str | None) -> str:
        line = self._losses.line()
        return line if can_write(line, encoding) else ""

    def _share(self) -> float | None:
        """How much of the stage is behind: by its steps, or by the clock where that ends it."""
        if self._at is None:
            return None
        at, shares = self._at, list[float]()
        if at.steps:
            shares.append((at.step - self._since) / at.steps)
        if at.remaining is not None and (self._timed or not at.steps):
            passed = at.seconds - self._began
            shares.append(passed / max(passed + at.remaining, 1e-9))
        return min(max(shares), 1.0) if shares else None

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
        return [] if self._at is None else [f"{short(self._at.steps_per_second)} steps/s"]

    def _left(self) -> list[str]:
        """How long it will take, in words and shorter."""
        if self._at is None or self._at.remaining is None:
            return []
        words = duration(self._at.remaining)
        return [f"{words} left", words]

    def _stop(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
