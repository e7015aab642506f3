"""What training tells the world: frozen host-side records; the run log is this stream, a line each."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from chainrule.core.schema import as_type


@dataclass(frozen=True)
class Event:
    """`at` counts the events of a run; `seconds` is wall time since the run (or its resumption) began."""

    at: int
    seconds: float

    def to_json(self) -> str:
        record = {"event": type(self).__name__.lower(), **dataclasses.asdict(self)}
        return json.dumps(_finite(record), allow_nan=False, default=str)


@dataclass(frozen=True)
class Started(Event):
    run: str
    net: str
    rule: str
    parameters: int
    data: dict[str, Any]
    settings: dict[str, Any]
    resumed: bool = False


@dataclass(frozen=True)
class Planned(Event):
    name: str
    precision: str
    seconds_per_step: float
    steps_per_chunk: int
    rejected: list[dict[str, str]]
    reason: str
    compiling: float = 0.0
    made: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    since: int = 0


@dataclass(frozen=True)
class Entered(Event):
    """A stage of several begins, or goes on: its number from 0, how many there are, its name, its epochs at most, and the step of the run
    since which it has lasted.
    """

    stage: int
    stages: int
    name: str
    epochs: int | None
    since: int = 0


@dataclass(frozen=True)
class Progressed(Event):
    epoch: int
    step: int
    steps: int | None
    loss: float
    steps_per_second: float
    remaining: float | None


@dataclass(frozen=True)
class Looked(Event):
    """What a look before the step after `step` saw: the record of an `observe.look.Look`; `number` counts the looks of a run."""

    step: int
    looks: dict[str, Any]
    number: int = 0


@dataclass(frozen=True)
class Evaluated(Event):
    epoch: int
    step: int
    train: dict[str, float]
    valid: dict[str, float]
    best: bool
    stage: int = 0


@dataclass(frozen=True)
class Sampled(Event):
    step: int
    texts: list[str]
    pictures: list[dict[str, Any]] = field(default_factory=list)        # as `core.sheets` packs them


NOT_FINITE = "D21"   # the diagnosis of numbers that are no longer finite


@dataclass(frozen=True)
class Judged(Event):
    """What the best net answers to the validation part, beside the constant answer, when training has ended.

    `answers` has n; errors, measure, score and constant_score with low and high, the 95 % interval of their difference; for classes recall
    and share of the answers of each.
    """

    step: int
    answers: dict[str, Any]


@dataclass(frozen=True)
class Joined(Event):
    """So many members of a committee have the share `shared` of their `errors` on validation in common, counted by rows or not."""

    members: int
    shared: float
    errors: int
    counted: bool


@dataclass(frozen=True)
class Diagnosed(Event):
    """A fault after `step`, or what might be better. `first` says that it is the first cause of all so far: the last event that says so has
    it, and the others are its consequences. `remedy` is `options` of train, as typed, with words; `numbers` are those of the evidence.
    """

    code: str
    layer: str
    evidence: str
    remedy: str
    name: str = ""
    step: int = 0
    first: bool = False
    numbers: dict[str, float] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def fatal(self) -> bool:
        """Whether it ended the training; other faults are told while it goes on."""
        return self.code == NOT_FINITE


@dataclass(frozen=True)
class Commanded(Event):
    """A command from outside, obeyed after `step` steps: stop, rate (times `value`), pause, go (on for `value` steps, 0 for all)."""

    step: int
    command: str
    value: float


@dataclass(frozen=True)
class Warned(Event):
    message: str


@dataclass(frozen=True)
class Saved(Event):
    epoch: int
    step: int
    path: str
    best: bool


@dataclass(frozen=True)
class TestOpened(Event):
    __test__: ClassVar[bool] = False  # pytest would collect it
    name: str
    opened: int
    reason: str


@dataclass(frozen=True)
class Finished(Event):
    reason: str
    epochs: int
    steps: int
    best_epoch: int
    best: dict[str, float]
    timing: dict[str, float]
    saved: bool = True
    stage_steps: list[int] = field(default_factory=list)        # how many steps each stage took
    shares: list[list[int]] = field(default_factory=list)       # of schedules by the clock: stage, step from which on, thousandths
    simpler: dict[str, Any] = field(default_factory=dict)       # what simpler answers score on the validation part, by name
    rates: list[list[float]] = field(default_factory=list)      # by commands: step from which on, times the rate at the start


KINDS: dict[str, type[Event]] = {
    c.__name__.lower(): c
    for c in (Started, Entered, Planned, Progressed, Looked, Evaluated, Sampled, Judged, Joined, Diagnosed, Commanded, Warned, Saved,
              TestOpened, Finished)
}


def first_cause(events: Iterable[Event]) -> Diagnosed | None:
    """The first cause of all diagnoses of a run: the last event that says it is one; None where there is none."""
    return next((e for e in reversed(list(events)) if isinstance(e, Diagnosed) and e.first), None)


def from_json(line: str) -> Event:
    """The event a line of the run log holds. Raises ValueError where the line is torn, of an unknown kind, or of other types."""
    record = as_type(dict, json.loads(line))
    kind = KINDS.get(str(record.get("event", "")))
    if kind is None:
        raise ValueError("not an event")
    event: Event = as_type(kind, record)
    return event


def _finite(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers are written as the words nan, inf, -inf."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


Sink = Callable[[Event], None]
