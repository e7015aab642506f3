"""A seat that a test trains by itself."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.events import Event
from chainrule.engine.seat import Seat
from chainrule.engine.train import train_seat


class LoneSeat(Seat):
    def run(self) -> Iterator[Event]:
        return train_seat(self)
