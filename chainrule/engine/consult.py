"""A doctor beside the loop: each event of a seat is shown to the seat's doctor, and what it says follows the event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from chainrule.core.events import Diagnosed, Event, Finished


class Says(Protocol):
    """A diagnosis: `fields` are those of the event `Diagnosed`; `first`, that it is the first cause so far."""

    @property
    def first(self) -> bool: ...

    @property
    def code(self) -> str: ...

    def fields(self) -> dict[str, Any]: ...


class Consulted(Protocol):
    """Who is shown the events of a run, and says what is wrong; `ends` where training is to end for that."""

    @property
    def ends(self) -> bool: ...

    def consume(self, event: Event) -> Sequence[Says]: ...

    def remember(self, events: Iterable[Event]) -> None: ...


def consulted(events: Iterator[tuple[Any, Event]]) -> Iterator[tuple[Any, Event]]:
    """(seat, event), with an event `Diagnosed` for all that the seats' doctors say, numbered as events of the seat.

    What an end shows comes before it; an event of numbers that are no longer finite becomes the doctor's own diagnosis of it.
    """
    for seat, event in events:
        doctor: Consulted | None = seat.settings.doctor
        if doctor is None:
            yield seat, event
            continue
        sayings = list(doctor.consume(event))
        if isinstance(event, Diagnosed):
            own = next((one for one in sayings if one.code == event.code), None)
            yield seat, event if own is None else replace(event, **own.fields())
            sayings = [one for one in sayings if one is not own]
        elif not isinstance(event, Finished):
            yield seat, event
        for number, one in enumerate(sayings):
            diagnosed = seat.event(Diagnosed, **one.fields())
            yield seat, replace(diagnosed, at=event.at + number) if isinstance(event, Finished) else diagnosed
        if isinstance(event, Finished):
            yield seat, replace(event, at=event.at + len(sayings))
        elif doctor.ends:
            seat.dismissed = True
