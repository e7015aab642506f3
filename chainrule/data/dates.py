"""Dates and times of day as people write them, as days since 1970; and the parts of a date that a network reads.

Days of a year, month and day: the proleptic Gregorian calendar, as numpy's datetime64 has it. Instants with a zone are UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Order = Literal["", "dmy", "mdy", "ymd"]
Part = Literal["month", "weekday", "hour"]
PARTS: dict[Part, int] = {"month": 12, "weekday": 7, "hour": 24}  # how many units make a turn
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
GERMAN = {"mär": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12}
PIVOT = 69  # years of two digits are those of 1969 to 2068, as %y has it in POSIX.1-2024, strptime
CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?(?:\s*([AaPp])\.?[Mm]\.?)?(?:\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
AT = rf"(?:[T\s,]+{CLOCK})?"
WEEKDAY = r"(?:\pL{2,9}\.?,?\s+)?"
ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$"  # what machines write, read many times faster
NUMBERS = rf"^(\d{{1,4}})([-/.])\s?(\d{{1,2}})[-/.]\s?(\d{{1,4}}){AT}$"
DAY_FIRST = rf"^{WEEKDAY}(\d{{1,2}})(?:st|nd|rd|th|\.)?[-\s/]*(\pL{{3,9}})\.?[-\s/,]+(\d{{4}}|\d{{2}}){AT}$"
MONTH_FIRST = rf"^{WEEKDAY}(\pL{{3,9}})\.?[-\s/]*(\d{{1,2}})(?:st|nd|rd|th)?[-\s/,]+(\d{{4}}){AT}$"
YEAR_MONTH = r"^(\d{4})[-/](\d{1,2})$"
COMPACT = r"^(\d{4})(\d{2})(\d{2})$"
TIME_ALONE = rf"^{CLOCK}$"


@dataclass(frozen=True)
class Parsed:
    """Words taken apart, each (n,): days since 1970 under either order (NaN where that is no date) and which depend on the order."""

    under: dict[str, np.ndarray]
    ordered: np.ndarray  # bool: day, month and a year are numbers, the year not first

    def days(self, order: Order) -> np.ndarray:
        """Days (n,) under an order; with none, NaN for words that would need one."""
        return np.where(self.ordered, np.nan, self.under["dmy"]) if not order else self.under[order]


def parse(words: Any) -> Parsed:
    """A polars Series of distinct words, none of them null, taken apart."""
    n = len(words)
    under = {order: np.full(n, np.nan) for order in ("dmy", "mdy", "ymd")}
    ordered = np.zeros(n, bool)
    iso_mask = words.str.contains(ISO)
    iso = iso_mask.to_numpy()
    if iso.any():
        days = _iso(words.filter(iso))
        for values in under.values():
            values[iso] = days
        if iso.all():
            return Parsed(under, ordered)
    for pattern, places in ((DAY_FIRST, (2, 1, 0)), (MONTH_FIRST, (2, 0, 1)), (YEAR_MONTH, (0, 1, None)), (COMPACT, (0, 1, 2))):
        _fill(under, words, pattern, places, 3 if pattern in (DAY_FIRST, MONTH_FIRST) else None)
    rows, groups = _groups(words.set(iso_mask, ""), NUMBERS)
    if len(rows):
        a, b, c = groups[0], groups[2], groups[3]
        first = np.array([len(x) > 2 for x in a])
        clock = _clock(groups, 4)
        for order, (y, m, d) in {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}.items():
            ymd = [np.where(first, whole, part) for whole, part in zip((a, b, c), (y, m, d))]
            under[order][rows] = _days(*ymd) + clock
        ordered[rows] = ~first
    rows, groups = _groups(words, TIME_ALONE)
    if len(rows):
        clock = _clock(groups, 0)
        for days in under.values():
            days[rows] = clock
    return Parsed(under, ordered)


def _iso(words: Any) -> np.ndarray:
    """Days since 1970 (n,) of 2026-01-31, 2026-01-31 12:30 and the like; NaN where there is no such day or time."""
    import polars as pl

    def number(at: int, length: int | None) -> np.ndarray:
        read: np.ndarray = words.str.slice(at, length).cast(pl.Float64, strict=False).fill_null(0).to_numpy()
        return read

    days = words.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Float64).to_numpy()
    hour, minute, second = number(11, 2), number(14, 2), number(17, None)
    days = np.where((hour < 24) & (minute < 60) & (second < 61), days, np.nan)
    moments: np.ndarray = days + (hour * 3600 + minute * 60 + second) / 86_400
    return moments


def _groups(words: Any, pattern: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which words match, and what each group of the pattern holds in them ('' for nothing)."""
    import polars as pl

    rows = np.flatnonzero(words.str.contains(pattern).to_numpy())
    if not len(rows):
        return rows, []
    groups = words.gather(rows).str.extract_groups(pattern).struct.unnest()
    return rows, [groups[name].cast(pl.String).fill_null("").to_numpy().astype(object) for name in groups.columns]


def _fill(under: dict[str, np.ndarray], words: Any, pattern: str, places: tuple[int, int, int | None], clock: int | None) -> None:
    rows, groups = _groups(words, pattern)
    if not len(rows):
        return
    year, month, day = (groups[i] if i is not None else np.full(len(rows), "1", object) for i in places)
    days = _days(year, month, day) + (_clock(groups, clock) if clock is not None else 0)
    if pattern == COMPACT:
        days = np.where((days >= -25567) & (days < 47482), days, np.nan)  # 1900 to 2099: other numbers of eight digits are no dates
    for values in under.values():
        values[rows] = days


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970 (n,) of words for year, month and day; NaN where there is no such day."""
    y = np.array([_year(v) for v in year])
    m = np.array([_month(v) for v in month])
    d = np.array([int(v) for v in day])
    valid = (y > 0) & (m >= 1) & (m <= 12)
    start = (np.where(valid, y, 1970) - 1970) * 12 + np.where(valid, m, 1) - 1
    begin, end = (months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for months in (start, start + 1))
    return np.where(valid & (d >= 1) & (d <= end - begin), begin + d - 1.0, np.nan)


def _year(word: str) -> int:
    if len(word) == 4:
        return int(word)
    return int(word) + (1900 if int(word) >= PIVOT else 2000) if len(word) == 2 else -1  # of one digit: a version such as 1.2.3


def _month(word: str) -> int:
    if word.isdigit():
        return int(word)
    short = word.lower()[:3]
    return MONTHS.index(short) + 1 if short in MONTHS else GERMAN.get(short, -1)


def _clock(groups: list[np.ndarray], at: int) -> np.ndarray:
    """The share of a day (n,) that the five groups of CLOCK name, less the zone; NaN for no time of day."""
    return np.array([_of_day(*values) for values in zip(*groups[at : at + 5], strict=True)])


def _of_day(hour: str, minute: str, second: str, half: str, zone: str) -> float:
    if not hour:
        return 0.0
    h, seconds = int(hour), float(second.replace(",", ".")) if second else 0.0
    if half:
        if not 1 <= h <= 12:
            return np.nan
        h = h % 12 + 12 * (half in "pP")
    if h > 23 or int(minute) > 59 or seconds >= 61:
        return np.nan
    ahead = 0
    if zone[:1] in ("+", "-"):
        digits = re.sub(r"\D", "", zone).ljust(4, "0")
        ahead = (60 * int(digits[:2]) + int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    return (h * 3600 + (int(minute) - ahead) * 60 + seconds) / 86_400


def part_of(days: Tensor, part: Part) -> Tensor:
    """Days since 1970 (n,) as a place in a turn, in units: month 0 to 11, weekday 0 (Monday) to 6, hour 0 to 24; NaN stays."""
    whole = days.floor()
    if part == "hour":
        return (days - whole) * 24
    if part == "weekday":
        return (whole + 3).remainder(7)  # 1970 began on a Thursday
    known = whole.nan_to_num().numpy().astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return torch.where(days.isnan(), torch.nan, torch.from_numpy(known).double())


def turn(days: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """Sine and cosine (n,) of where in its turn a part of the date stands; 0 where the date is missing."""
    angle = part_of(days, part) * (2 * np.pi / PARTS[part])
    return angle.sin().nan_to_num(0.0), angle.cos().nan_to_num(0.0)
