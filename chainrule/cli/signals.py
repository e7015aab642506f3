"""Signals while a command trains: asked to stop, saved; a second one ends the process at once."""

from __future__ import annotations

import os
import shlex
import signal
from itertools import pairwise
from pathlib import Path

from chainrule.core.errors import Interrupted

RESUMED = ("run.json", "sweep.json", "boosting.json")     # what a folder has that can be gone on with
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


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
    """From here on SIGTERM and SIGHUP end a command without `Signals` of its own as SIGINT does: with a sentence that says how to go on."""

    def handle(number: int, _: object) -> None:
        raise Interrupted("Interrupted.", signal.Signals(number).name)

    for name in SIGNALS:
        if name != "SIGINT" and hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), handle)


def again(message: str, arguments: list[str]) -> str:
    """What an interrupted command says, and a command that goes on: the one it names, one that resumes, or the same once more."""
    if "chainrule " in message or not arguments:
        return message
    out = next((Path(value) for flag, value in pairwise(arguments) if flag == "--out"), None)
    if out is not None and arguments[0] in ("train", "sweep", "boost") and any((out / name).exists() for name in RESUMED):
        return f"{message} Go on with: {shlex.join(['chainrule', 'resume', str(out)])}"
    return f"{message} Run it again with: {shlex.join(['chainrule', *arguments])}"
