"""Commands to a run that trains: one small file in its folder, a line of JSON each, which the loop reads between chunks."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.files import open_plain, open_to_read, write_all

FILE = "commands.jsonl"
WORDS = ("stop", "rate", "pause", "go")
MOST_BYTES = 2**16          # of new commands that are read at once
LEAST, MOST = 1e-6, 1e6     # by how much a rate may be multiplied
NO_RATE, TOGETHER = "its rule has none that a command could change", "it trains side by side with others"


@dataclass(frozen=True)
class Command:
    """What is asked of a run: `stop` it; multiply its `rate`, as it was at the start, by `value`; `pause` it; let it `go`, on for `value`
    steps or without end where that is 0.
    """

    word: str
    value: float = 0.0

    @classmethod
    def of(cls, record: Any) -> Command:
        """Raises InputError for what is no command."""
        word = record.get("command") if isinstance(record, dict) else None
        if word not in WORDS:
            raise InputError(f"A command is one of {', '.join(WORDS)}; got {str(word)[:40]!r}. Send one of these.")
        value = record.get("value", 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"The value of {word} is a number; got {str(value)[:40]!r}. Send one.")
        if word == "rate" and not LEAST <= value <= MOST:
            raise InputError(f"A rate is multiplied by a number from {LEAST:g} to {MOST:g}; got {value:g}. Send one of these.")
        if word == "go" and (value < 0 or value != int(value)):
            raise InputError(f"A run goes on for a whole number of steps, 0 for all; got {value:g}. Send one.")
        return cls(word, float(value))

    def to_json(self) -> str:
        return json.dumps({"command": self.word, "value": self.value})


def send(folder: Path, command: Command) -> None:
    """Append a command to the file of a run. Raises InputError where that cannot be written."""
    try:
        descriptor = open_plain(folder / FILE, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(descriptor, f"{command.to_json()}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"{folder / FILE} cannot be written: {error.strerror or error}. Put that right.") from None


class Inbox:
    """The commands of a run's file, each read once. Those that were there before a run was resumed are passed over."""

    def __init__(self, folder: Path):
        self.path, self.place = folder / FILE, 0

    def pass_over(self) -> None:
        """Leave what is there already."""
        self.place = self._size()

    def read(self) -> list[Command]:
        """What came since the last time; lines that are no commands, and a file that is no plain one, are passed over."""
        if self._size() <= self.place:
            return []
        try:
            descriptor = open_to_read(self.path)
            try:
                os.lseek(descriptor, self.place, os.SEEK_SET)
                content = os.read(descriptor, MOST_BYTES)
            finally:
                os.close(descriptor)
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self.place += len(whole) or (len(content) if len(content) == MOST_BYTES else 0)
        return [command for line in whole.splitlines() if (command := _command(line)) is not None]

    def _size(self) -> int:
        try:
            return os.lstat(self.path).st_size
        except OSError:
            return 0


class Steering:
    """What commands have asked of a run: whether it is `paused` or `stopped`, and after which step it is to pause, 0 for none."""

    def __init__(self, folder: Path | None):
        self.inbox = None if folder is None else Inbox(folder)
        self.paused, self.stopped, self.pause_at = False, False, 0

    def pass_over(self) -> None:
        """Leave the commands of before a run was resumed."""
        if self.inbox is not None:
            self.inbox.pass_over()

    def read(self, step: int) -> list[Command]:
        """What came since the last time, obeyed after this step as far as it is about whether the run goes on."""
        if 0 < self.pause_at <= step:
            self.paused, self.pause_at = True, 0
        commands = [] if self.inbox is None else self.inbox.read()
        for command in commands:
            if command.word == "go":
                self.paused, self.pause_at = False, step + int(command.value) if command.value else 0
            elif command.word == "pause":
                self.paused = True
            elif command.word == "stop":
                self.paused, self.stopped = False, True
        return commands


def factor_of(changes: Sequence[Sequence[float]], step: int) -> float:
    """By how much the rate is multiplied at a step, of changes (step from which on, factor) in their order."""
    return next((float(by) for at, by in reversed(changes) if at <= step), 1.0)


def _command(line: bytes) -> Command | None:
    try:
        return Command.of(json.loads(line))
    except (ValueError, InputError, RecursionError):
        return None
