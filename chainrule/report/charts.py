"""Learning curves as plain geometry that the report draws as SVG: no script, no font, no picture file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 36  # margins
MOST_CHARTS = 4
LOG_RATIO = 100  # losses that fall further than this are drawn on a logarithmic axis


@dataclass(frozen=True)
class Line:
    """One curve: its parts as SVG points (it is broken where a value is not finite), and its last point."""

    part: str
    pieces: tuple[str, ...]
    end: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """One measure over the run; ticks are (place, text) in the coordinates of a WIDTH x HEIGHT drawing."""

    measure: str
    across: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    best: tuple[float, float] | None
    logarithmic: bool


def finite(value: Any) -> float | None:
    """The number, or None where it is none or not finite; a log spells those nan, inf, -inf."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def charts(history: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """A chart for each measure of the evaluations {epoch, step, train, valid, best}, the loss first."""
    names = dict.fromkeys(name for row in history for part in ("train", "valid") for name in row[part])
    ordered = sorted(names, key=lambda name: (name != "loss", name != "accuracy"))
    drawn = (_chart(name, history) for name in ordered)
    return [chart for chart in drawn if chart is not None][:MOST_CHARTS]


def _chart(name: str, history: Sequence[Mapping[str, Any]]) -> Chart | None:
    epochs = [row["epoch"] for row in history]
    across = "epoch" if all(a < b for a, b in itertools.pairwise(epochs)) else "step"  # stages begin their epochs anew
    at = [float(row[across]) for row in history]
    curves = {part: [finite(row[part].get(name)) for row in history] for part in ("train", "valid")}
    values = [v for curve in curves.values() for v in curve if v is not None]
    if not values:
        return None
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_RATIO
    marks_y = _decades(min(values), max(values)) if logarithmic else nice(min(values), max(values))
    low, high = min(marks_y[0], *values), max(marks_y[-1], *values)
    marks_x = [m for m in nice(at[0], at[-1], whole=True) if at[0] <= m <= at[-1]] or [at[0]]

    def x(value: float) -> float:
        share = 0.5 if at[-1] == at[0] else (value - at[0]) / (at[-1] - at[0])
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        ends = (math.log(low), math.log(high), math.log(value)) if logarithmic else (low, high, value)
        share = 0.5 if ends[0] == ends[1] else (ends[2] - ends[0]) / (ends[1] - ends[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [_line(part, [(x(a), None if v is None else y(v)) for a, v in zip(at, curve)]) for part, curve in curves.items()]
    lines = tuple(line for line in drawn if line is not None)
    chosen = next((i for i in reversed(range(len(history))) if history[i]["best"]), None)
    lowest = None if chosen is None else curves["valid"][chosen]
    best = None if chosen is None or lowest is None else (x(at[chosen]), y(lowest))
    x_ticks, y_ticks = tuple((x(m), f"{m:,.0f}") for m in marks_x), tuple((y(m), f"{m:g}") for m in marks_y)
    return Chart(name, across, x_ticks, y_ticks, lines, best, logarithmic)


def _line(part: str, points: Sequence[tuple[float, float | None]]) -> Line | None:
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in points:
        if b is None:
            pieces.append([])
        else:
            pieces[-1].append((a, b))
    whole = [piece for piece in pieces if piece]
    if not whole:
        return None
    return Line(part, tuple(" ".join(f"{a:g},{b:g}" for a, b in piece) for piece in whole), whole[-1][-1])


def nice(low: float, high: float, *, whole: bool = False, count: int = 4) -> list[float]:
    """About `count` round numbers that enclose [low, high]; `whole` ones on request. Steps are 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _decades(low: float, high: float) -> list[float]:
    return [10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
