"""The stamps of a series: how far apart its steps are, where that is broken, which season they have, and how they go on.

Regular steps are so many months of the Gregorian calendar, days, or units of a number; see `dates` for how stamps are written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from chainrule.data.dates import Part
from chainrule.data.encode.columns import Column

Unit = Literal["month", "day", "number"]
NEAR = 1e-3                         # of a step: stamps of days in double precision are seconds off at most
SEASONS = {("month", 1.0): 12, ("month", 3.0): 4, ("day", 7.0): 52, ("day", 1.0): 7}
YEAR, WEEK = 365.0, 7.0


@dataclass(frozen=True)
class Clock:
    """The column `name` ('' where steps are only counted), whether it holds `dates`, and a step of `step` units.

    Of months `day` is the day on which each stamp falls, 0 for the last of the month.
    """

    name: str
    dates: bool
    unit: Unit
    step: float
    day: int = 0

    @classmethod
    def of(cls, name: str, stamps: Tensor, dates: bool) -> Clock:
        """The clock of stamps (t,) in order: months where all fall on one day of the month, else the distance that is most frequent."""
        if dates and len(stamps) > 1 and not bool((stamps != stamps.floor()).any()):
            month, day, last = _calendar(stamps)
            ends = bool((day == last).all())
            months = np.diff(month)
            if (ends or (day == day[0]).all()) and months.min() > 0:
                return cls(name, True, "month", _most_frequent(months), 0 if ends else int(day[0]))
        apart = stamps.diff()
        step = _most_frequent(apart[apart > 0].numpy()) if bool((apart > 0).any()) else 1.0
        return cls(name, dates, "day" if dates else "number", step)

    def places(self, stamps: Tensor) -> Tensor:
        """Stamps (t,) counted in steps, float64; whole steps apart where they are regular."""
        if self.unit == "month":
            month, _, _ = _calendar(stamps)
            return torch.from_numpy(month.astype(np.float64)) / self.step
        return stamps.double() / self.step

    def after(self, last: float, steps: int) -> Tensor:
        """The stamps (steps,) that go on from the last one."""
        ahead = torch.arange(1, steps + 1, dtype=torch.float64)
        if self.unit != "month":
            return last + ahead * self.step
        month, _, _ = _calendar(torch.tensor([last], dtype=torch.float64))
        months = month[0] + (ahead * self.step).round().long().numpy()
        first, end = (_first(months + more) for more in (0, 1))
        return torch.from_numpy(np.minimum(first + (self.day or 31) - 1, end - 1).astype(np.float64))

    def between(self, first: float, last: float) -> Tensor:
        """All stamps (t,) from the first to the last that a regular clock has."""
        ends = self.places(torch.tensor([first, last], dtype=torch.float64))
        return torch.cat([torch.tensor([first], dtype=torch.float64), self.after(first, round(float(ends[1] - ends[0])))])

    @property
    def season(self) -> int:
        """Steps of the turn that such stamps usually have: 12 of months, 52 of weeks, 7 of days, those of a day below it; else 1."""
        if self.unit == "day" and 0 < self.step < 1:
            return max(1, round(1 / self.step))
        return SEASONS.get((self.unit, self.step), 1)

    def parts(self, stamps: Tensor) -> tuple[Part, ...]:
        """The parts of dates (t,) that come back often enough to be learned, in the order of `dates.PARTS`."""
        if not self.dates or len(stamps) < 2:
            return ()
        days, span = self.step * (30 if self.unit == "month" else 1), float(stamps[-1] - stamps[0])
        fits = {"month": days <= 100 and span >= 2 * YEAR, "weekday": days <= 1 and span >= 2 * WEEK, "hour": days < 1 and span >= 2}
        chosen: list[Part] = [part for part in ("month", "weekday", "hour") if fits[part]]
        return tuple(chosen)

    def word(self, stamp: float) -> str:
        """A stamp as a user would write it."""
        return Column(self.name, "date" if self.dates else "numeric", torch.tensor([stamp], dtype=torch.float64)).word(0)

    @property
    def apart(self) -> str:
        """A step in words."""
        units = {"month": "month", "day": "day", "number": "unit"}[self.unit]
        if self.unit == "day" and self.step < 1:
            return f"{self.step * 24:g} hours" if self.step * 24 >= 1 else f"{self.step * 1440:g} minutes"
        return f"{self.step:g} {units}{'' if self.step == 1 else 's'}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _calendar(stamps: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of days since 1970 (t,): months since 1970, the day of the month from 1, and how many days that month has."""
    days = stamps.floor().numpy().astype(np.int64)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    begin, end = _first(month), _first(month + 1)
    return month, days - begin + 1, end - begin


def _first(month: np.ndarray) -> np.ndarray:
    """The first day of months since 1970, in days since 1970."""
    days: np.ndarray = month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def _most_frequent(apart: np.ndarray) -> float:
    """The distance that occurs most often, to nine digits; the least of several."""
    rounded = np.array([float(f"{a:.9g}") for a in apart])
    values, counts = np.unique(rounded, return_counts=True)
    near = float(values[counts.argmax()])
    exact: float = float(apart[np.abs(rounded - near) == 0].mean())
    return float(f"{exact:.12g}")
