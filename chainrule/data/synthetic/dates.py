"""Days as people write them, with the same as ISO 8601 writes them: https://www.iso.org/iso-8601-date-and-time-format.html"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.pairs import Pair, source_of
from chainrule.data.source import Source

FIRST, DAYS = date(1950, 1, 1), 36_525                     # to the end of 2049, so that two digits say which year it is
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def ordinal(day: int) -> str:
    """A day of the month as 1st, 2nd, 3rd, 4th."""
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def month(day: date) -> str:
    return MONTHS[day.month - 1]


def weekday(day: date) -> str:
    return WEEKDAYS[day.weekday()]


WAYS: tuple[Callable[[date], str], ...] = (
    lambda d: f"{d.day} {month(d)} {d.year}",                                          # 3 March 2011
    lambda d: f"{ordinal(d.day)} {month(d)} {d.year}",                                 # 3rd March 2011
    lambda d: f"the {ordinal(d.day)} of {month(d)} {d.year}",                          # the 3rd of March 2011
    lambda d: f"{month(d)} {d.day}, {d.year}",                                         # March 3, 2011
    lambda d: f"{month(d)[:3]} {d.day} {d.year}",                                      # Mar 3 2011
    lambda d: f"{weekday(d)}, {month(d)} {ordinal(d.day)}, {d.year}",                  # Thursday, March 3rd, 2011
    lambda d: f"{weekday(d)[:3]} {d.day} {month(d)[:3]} {d.year}",                     # Thu 3 Mar 2011
    lambda d: f"{d.day:02}-{month(d)[:3].upper()}-{d.year % 100:02}",                  # 03-MAR-11
    lambda d: f"{d.day}.{d.month}.{d.year}",                                           # 3.3.2011: the day first
    lambda d: f"{d.day:02}.{d.month:02}.{d.year % 100:02}",                            # 03.03.11
    lambda d: f"{d.month}/{d.day}/{d.year}",                                           # 3/3/2011: the month first
    lambda d: f"{d.month:02}/{d.day:02}/{d.year % 100:02}",                            # 03/03/11
    lambda d: f"{d.year}{d.month:02}{d.day:02}",                                       # 20110303
)


@datasets("dates", source="ISO 8601, https://www.iso.org/iso-8601-date-and-time-format.html")
def dates(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 10_000, seed: int = 0) -> Source:
    """Days from 1950 to 2049, each once and written in one of 13 ways, the targets as YYYY-MM-DD.

    Numbers with points have the day first, with slashes the month; two digits of a year from 50 on are of the last century. Raises
    InputError for fewer than two days, and more than there are.
    """
    if not 2 <= count <= DAYS:
        raise InputError(f"dates expects count from 2 to {DAYS:,}, the days from 1950 to 2049; got count={count}. Write e.g. "
                         "dates:count=10000.")
    random = np.random.default_rng(seed)
    days = [FIRST + timedelta(days=int(number)) for number in random.permutation(DAYS)[:count]]
    ways = random.integers(len(WAYS), size=count)
    pairs = [Pair(WAYS[way](day), day.isoformat()) for day, way in zip(days, ways.tolist(), strict=True)]
    return source_of(pairs, origin={"kind": "named", "what": f"dates:count={count},seed={seed}"}, name="dates")
