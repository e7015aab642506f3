"""Where one call reads and writes, who watches it, and what may stop it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.events import Sink
from chainrule.core.files import folder_for
from chainrule.engine.stop import Stop
from chainrule.sinks.tensorboard import TensorBoard

LOG = "tensorboard"      # which other log there is


@dataclass(frozen=True)
class Session:
    """The circumstances of one call, which decide nothing of what is learned."""

    out: Path | None = None
    data_dir: Path | None = None
    progress: bool = True
    sinks: tuple[Sink, ...] = ()
    stop: Stop | None = None
    log: str | None = None

    def logging(self, folder: Path) -> list[Sink]:
        """Who writes a run in `folder` down beside its log."""
        return [TensorBoard(folder)] if self.log else []


def session_of(*, out: Any = None, data_dir: Any = None, progress: bool = True, sinks: Iterable[Sink] = (),
               stop: Stop | None = None, log: str | None = None) -> Session:
    """The keyword arguments as a session. Raises InputError for one of another type, and an `out` that is no folder."""
    if isinstance(sinks, str) or not isinstance(sinks, Iterable):
        raise InputError(f"sinks is a list of functions of one event; got {type(sinks).__name__}.")
    listed = tuple(sinks)
    for sink in listed:
        if not callable(sink):
            raise InputError(f"sinks is a list of functions of one event; got {type(sink).__name__} among them.")
    if not (stop is None or isinstance(stop, Stop)):
        raise InputError(f"stop is a chainrule.engine.stop.Stop; got {type(stop).__name__}.")
    if log not in (None, LOG):
        raise InputError(f"--log is {LOG}, or left out; got '{log}'.")
    folder = path_of("out", out)
    return Session(None if folder is None else folder_for(folder), path_of("data_dir", data_dir), bool(progress), listed, stop, log)


def path_of(name: str, value: Any) -> Path | None:
    """Raises InputError where the value is no path."""
    if value is None or isinstance(value, str | Path):
        return None if value is None else Path(value)
    raise InputError(f"{name} is a path; got {type(value).__name__}.")
