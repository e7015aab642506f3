"""The run folders that the page shows: found under one root by their relative names, never through a link, never outside."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainrule.core.files import open_to_read
from chainrule.core.text import natural
from chainrule.engine.commands import FILE

LOG, RECORD, MEASURES, TESTED = "log.jsonl", "run.json", "valid.json", "test.json"
DEPTH, MOST_RUNS = 3, 2000
MOST_RECORD, TAIL = 2**22, 2**16         # bytes of a record, and of the end of a log that is read for a summary
QUIET_SECONDS = 20.0                     # after which a run that says nothing counts as one that stopped midway
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]")


@dataclass
class Runs:
    """The runs under `root`, which is resolved once. `first` is the name of the one to be shown first."""

    root: Path
    first: str = ""
    _summaries: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> Runs:
        """The runs in a folder; of a run folder, the runs beside it as well, itself first."""
        whole = path.resolve()
        return cls(whole.parent, whole.name) if (whole / RECORD).exists() or (whole / LOG).exists() else cls(whole)

    def find(self, name: str) -> Path | None:
        """The folder of a run by its name, parts joined by `/`; None where there is none, or any part is a link or leads elsewhere."""
        parts = name.split("/")
        if not name or len(parts) > DEPTH or FORBIDDEN.search(name) or any(part in ("", ".", "..") for part in parts):
            return None
        path = self.root
        for part in parts:
            path = path / part
            try:
                if path.is_symlink() or not path.is_dir():
                    return None
            except (OSError, ValueError):
                return None
        return path if path.resolve().is_relative_to(self.root) and holds_run(path) else None

    def names(self) -> list[str]:
        """The names of all runs, those with the latest events first."""
        found = [(self._latest(path), name) for name, path in _walk(self.root, "", DEPTH)]
        return [name for _, name in sorted(found, key=lambda one: (-one[0], natural(one[1])))][:MOST_RUNS]

    def _latest(self, path: Path) -> float:
        try:
            return os.lstat(path / LOG).st_mtime
        except OSError:
            return 0.0

    def record(self, path: Path) -> dict[str, Any]:
        """What `run.json` of a folder says; empty where it is not whole."""
        return _object(path / RECORD)

    def summary(self, name: str) -> dict[str, Any] | None:
        """A run in a line: net, data, how it stands, its measures; None where it is gone."""
        path = self.find(name)
        if path is None:
            return None
        try:
            state = os.lstat(path / LOG)
            stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
            quiet = time.time() - state.st_mtime
        except OSError:
            stamp, quiet = (0, 0, 0), QUIET_SECONDS
        known = self._summaries.get(name)
        summary = known[1] if known and known[0] == stamp else self._summarised(name, path)
        self._summaries[name] = stamp, summary
        going = summary["state"] == "midway" and quiet < QUIET_SECONDS
        return {**summary, "state": "running" if going else summary["state"], "quiet": round(quiet, 1)}

    def _summarised(self, name: str, path: Path) -> dict[str, Any]:
        record, data = self.record(path), self.record(path).get("data")
        data = data if isinstance(data, dict) else {}
        state, step, measures, best = "midway", 0, {}, 0
        for event in tail(path / LOG):
            kind = event.get("event")
            step = event.get("step", step) if kind != "looked" else step
            if kind == "evaluated" and event.get("best") and isinstance(event.get("valid"), dict):
                measures, best = event["valid"], event.get("epoch", 0)
            if kind == "finished":
                state, step = str(event.get("reason")), event.get("steps", step)
                measures, best = event.get("best", measures), event.get("best_epoch", best)
            if kind in ("started", "progressed"):
                state = "midway"
        return {"run": name, "net": record.get("net", ""), "rule": record.get("rule", ""), "data": data.get("name", ""),
                "task": data.get("task", ""), "created": record.get("created", ""), "parameters": record.get("parameters", 0),
                "state": state, "step": step, "measures": measures, "best_epoch": best, "inputs": data.get("inputs", []),
                "classes": data.get("classes", [])}


def holds_run(path: Path) -> bool:
    """Whether a folder has a file of a run, which is a plain one; of a run that is about to begin there may be commands alone."""
    return any((path / name).is_file() and not (path / name).is_symlink() for name in (LOG, RECORD, FILE))


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted((e for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)), key=lambda e: e.name)
    except OSError:
        return
    for entry in entries:
        name, path = f"{prefix}{entry.name}", Path(entry.path)
        if FORBIDDEN.search(entry.name) or entry.name.startswith("."):
            continue
        if holds_run(path):
            yield name, path
        if depth > 1:
            yield from _walk(path, f"{name}/", depth - 1)


def read_whole(path: Path, most: int) -> bytes:
    """What a plain file holds, at most so many bytes. Raises OSError, also for a link or a larger file."""
    with os.fdopen(open_to_read(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"{path} holds more than {most} bytes")
    return content


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_whole(path, MOST_RECORD))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def measures_of(path: Path) -> dict[str, Any]:
    """What a run's folder says of its validation part, and of its test part where that was opened."""
    return {"valid": _object(path / MEASURES), "test": _object(path / TESTED)}


def tail(path: Path) -> list[dict[str, Any]]:
    """The last complete records of a log."""
    try:
        with os.fdopen(open_to_read(path), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            content = file.read(TAIL)
    except OSError:
        return []
    lines = content.split(b"\n")[1 if size > TAIL else 0 :]
    return [event for line in lines if (event := parsed(line)) is not None]


def parsed(line: bytes) -> dict[str, Any] | None:
    """The event of a line of a log; None where it is torn or no event."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) and isinstance(event.get("at"), int) else None
