"""Signals while a command trains: asked to stop, saved; a second one ends the process at once."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

from chainrule.core.errors import Interrupted

RESUMED = ("run.json", "sweep.json", "boosting.json")     # what a folder has that can be gone on with
COMMITTEE = "committee.json"
CARRIED = ("--test", "--full", "--json")                  # what a training was to do at its end, which is as well to be done by `resume`
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
_ended_by: list[str] = []                                 # the signal that is ending the command


class Signals:
    """While training, SIGINT, SIGTERM and SIGHUP ask it to stop, saved; a second one ends the process at once."""

    def __init__(self) -> None:
        from chainrule.engine.stop import Stop

        self.stop = Stop()

    def __enter__(self) -> Signals:
        self._before = {name: signal.signal(getattr(signal, name), self._handle) for name in SIGNALS if hasattr(signal, name)}
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(getattr(signal, name), handler)

    def _handle(self, number: int, _: object) -> None:
        name = signal.Signals(number).name
        if self.stop.requested:
            os._exit(SIGNALS[name])
        self.stop.request(name)


def end_by_signal() -> None:
    """From here on a signal ends a command without `Signals` of its own with a sentence that says how to go on. A second one, or one that
    comes after `heed_no_longer`, ends the process at once.
    """
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    heed_no_longer()
    _ended_by.append(signal.Signals(number).name)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Interrupted("Interrupted.", signal.Signals(number).name)


@contextlib.contextmanager
def as_interrupted() -> Iterator[None]:
    """Raises Interrupted for whatever else comes out once a signal has come: where it meets a library that is being imported, what the
    handler raises is lost, and the import fails.
    """
    try:
        yield
    except Exception as error:
        if _ended_by and not isinstance(error, Interrupted):
            raise Interrupted("Interrupted.", _ended_by[-1]) from error
        raise


def heed_no_longer() -> None:
    """The command has ended, or is about to say so: nothing catches what a handler would raise now."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def again(message: str, arguments: list[str]) -> str:
    """What an interrupted command says, and a command that goes on: the one it names, one that resumes, or the same once more.

    Where the same would be refused, since what it writes is there by now, it is named so that it is not.
    """
    ending = [flag for flag in CARRIED if flag in arguments]
    if "chainrule " in message or not arguments:
        return " ".join([message, *(ending if "chainrule resume " in message else [])])
    at, out = _out(arguments)
    if out is not None and arguments[0] in ("train", "sweep", "boost") and any((out / name).exists() for name in RESUMED):
        return f"{message} Go on with: {shlex.join(['chainrule', 'resume', str(out), *ending])}"
    words = list(arguments)
    if out is not None and out.is_file() and "--overwrite" not in words:
        words.append("--overwrite")
    if out is not None and (out / COMMITTEE).exists():
        words[at] = ("--out=" if words[at].startswith("--out=") else "") + str(free_beside(out))
    return f"{message} Run it again with: {shlex.join(['chainrule', *words])}"


def _out(arguments: list[str]) -> tuple[int, Path | None]:
    """Where a command was told to write, and which of its words says so."""
    for at, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if flag == "--out" and (equals or at + 1 < len(arguments)):
            return (at, Path(value)) if equals else (at + 1, Path(arguments[at + 1]))
    return 0, None


def free_beside(folder: Path) -> Path:
    """The first of FOLDER-1, FOLDER-2, ... that is not there."""
    return next(free for number in range(1, 10**6) if not (free := folder.with_name(f"{folder.name}-{number}")).exists())
