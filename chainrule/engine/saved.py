"""What a checkpoint says beside its tensors, checked against what the engine writes before anything is taken from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from chainrule.core.schema import Count, Misfit, Natural, Within, as_type
from chainrule.engine.plans.plan import Plan
from chainrule.engine.position import Position

WORDS_OF_STATE = 624        # of the generators of NumPy and Python


@dataclass(frozen=True)
class Awaited:
    """A plan that is to be tried later."""

    plan: Plan
    seconds: float


@dataclass(frozen=True)
class Noted:
    """A plan that a run has gone under, from which step of which stage on."""

    since: Count
    made: Plan
    stage: Count = 0
    seconds_per_step: float = 0.0
    later: tuple[Awaited, ...] = ()
    together: Natural = 1           # so many members stacked
    apart: bool = False


@dataclass(frozen=True)
class Best:
    """Where the best weights were, and their measures."""

    epoch: Count
    step: Count
    score: tuple[float, ...]
    measures: dict[str, float]


@dataclass(frozen=True)
class Validated:
    """One validation."""

    epoch: Count
    step: Count
    train: dict[str, float]
    valid: dict[str, float]
    best: bool
    stage: Count = 0


@dataclass(frozen=True)
class Generators:
    """Where the generators of NumPy and Python stand, beside their words."""

    numpy: tuple[str, Annotated[int, Within(0, WORDS_OF_STATE)], Annotated[int, Within(0, 1)], float]
    python: tuple[int, float | None]


@dataclass(frozen=True)
class Payload:
    """Of a checkpoint to go on from."""

    position: Position
    random: Generators


@dataclass(frozen=True)
class Places:
    """The parts of a position that are stored as plain JSON."""

    best: Best | None = None
    history: tuple[Validated, ...] = ()
    plan: tuple[Noted, ...] = ()
    shares: tuple[tuple[Count, Count, Count], ...] = field(default=())


def position_of(payload: dict[str, Any]) -> Position:
    """Where a run was, as its checkpoint says it. Raises Misfit."""
    whole = as_type(Payload, payload)
    stored = payload["position"]
    try:
        as_type(Places, {**stored, "best": stored.get("best") or None})
    except Misfit as error:
        raise error.under("position") from None
    position: Position = whole.position
    return position


def plans_of(stored: Any) -> None:
    """Check the plans that a record lists. Raises Misfit."""
    as_type(tuple[Noted, ...], stored)
