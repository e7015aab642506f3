"""Learning curves as plain geometry that the report draws as SVG: no font, no picture file, and nothing that needs a script."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from chainrule.evaluate.intervals import wilson
from chainrule.report.words import as_share, finite, value

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 36  # margins
MOST_CHARTS = 4
LOG_RATIO = 100   # losses that fall further than this are drawn on a logarithmic axis
MOST_STEPS = 600  # single steps that are drawn of a curve
FEW_EPOCHS = 3    # of fewer, where single steps are drawn as well, the axis is that of steps
FLAT = 0.02       # of a share: an axis that no interval widens spans at least this much


@dataclass(frozen=True)
class Line:
    """One curve: its parts as SVG points (it is broken where a value is not finite), and its last point."""

    part: str
    pieces: tuple[str, ...]
    end: tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """A drawing of one measure on one kind of scale; ticks are (place, text) in the coordinates of a WIDTH x HEIGHT drawing.

    `thin` are pieces of single steps, `bands` the outlines of intervals, or of several seeds.
    """

    logarithmic: bool
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    thin: tuple[str, ...]
    bands: tuple[tuple[str, str], ...]
    best: tuple[float, float] | None
    data: str


@dataclass(frozen=True)
class Chart:
    """One measure over the run: drawn as it is best read, and on the other kind of scale where that can be."""

    measure: str
    across: str
    drawn: Axes
    other: Axes | None
    note: str = ""

    @property
    def logarithmic(self) -> bool:
        return self.drawn.logarithmic

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.drawn.lines

    @property
    def x_ticks(self) -> tuple[tuple[float, str], ...]:
        return self.drawn.x_ticks

    @property
    def y_ticks(self) -> tuple[tuple[float, str], ...]:
        return self.drawn.y_ticks

    @property
    def best(self) -> tuple[float, float] | None:
        return self.drawn.best


@dataclass(frozen=True)
class _Series:
    """What a chart is made of, in the units of the data: places across, curves by part, single steps, and bands (low, high) by part."""

    measure: str
    across: str
    at: Sequence[float]
    curves: Mapping[str, Sequence[float | None]]
    single: Sequence[tuple[float, float]]
    bands: Mapping[str, Sequence[tuple[float, float] | None]]
    chosen: int | None


def charts(history: Sequence[Mapping[str, Any]], losses: Sequence[tuple[int, float]] = (), cases: int | None = None) -> list[Chart]:
    """A chart for each measure of the evaluations {epoch, step, train, valid, best}, the loss first.

    `losses` are those of single steps; `cases` is how many rows validate, from which the intervals of counted shares follow.
    """
    names = dict.fromkeys(name for row in history for part in ("train", "valid") for name in row[part])
    ordered = sorted(names, key=lambda name: (name != "loss", name != "accuracy"))
    drawn = (_chart(_series(name, history, losses if name == "loss" else (), cases)) for name in ordered)
    return [chart for chart in drawn if chart is not None][:MOST_CHARTS]


def over_runs(histories: Sequence[Sequence[Mapping[str, Any]]]) -> list[Chart]:
    """Charts of several runs that differ in their seed alone: means of each part by epoch, and bands from the least to the greatest."""
    shortest = min((len(rows) for rows in histories), default=0)
    if shortest == 0:
        return []
    names = dict.fromkeys(name for part in ("train", "valid") for name in histories[0][0][part])
    several = []
    for name in sorted(names, key=lambda name: (name != "loss", name != "accuracy")):
        curves: dict[str, list[float | None]] = {}
        bands: dict[str, list[tuple[float, float] | None]] = {}
        for part in ("train", "valid"):
            values = [[v for rows in histories if (v := finite(rows[i][part].get(name))) is not None] for i in range(shortest)]
            curves[part] = [mean(v) if v else None for v in values]
            bands[part] = [(min(v), max(v)) if len(v) > 1 else None for v in values]
        at = [float(histories[0][i]["epoch"]) for i in range(shortest)]
        chart = _chart(_Series(name, "epoch", at, curves, (), bands, None))
        if chart is not None:
            several.append(chart)
    return several[:MOST_CHARTS]


def _series(name: str, history: Sequence[Mapping[str, Any]], losses: Sequence[tuple[int, float]], cases: int | None) -> _Series:
    history = _whole(history)
    epochs = [row["epoch"] for row in history]
    rising = all(a < b for a, b in itertools.pairwise(epochs))              # stages begin their epochs anew
    across = "epoch" if rising and (len(history) >= FEW_EPOCHS or not losses) else "step"
    at = [float(row[across]) for row in history]
    curves = {part: [finite(row[part].get(name)) for row in history] for part in ("train", "valid")}
    place = _epoch_at(history) if across == "epoch" else float
    every = max(1, math.ceil(len(losses) / MOST_STEPS))
    single = [(place(step), loss) for step, loss in losses[::every]]
    bands: dict[str, Sequence[tuple[float, float] | None]] = {}
    if cases and name in ("accuracy", "error"):
        bands["valid"] = [None if v is None or not 0 <= v <= 1 else _ends(v, cases) for v in curves["valid"]]
    chosen = next((i for i in reversed(range(len(history))) if history[i]["best"]), None)
    return _Series(name, across, at, curves, single, bands, chosen)


def _whole(history: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The evaluations, where the last one stands in mid-epoch with the share of that epoch that is done."""
    if len(history) < FEW_EPOCHS or history[-1]["epoch"] != history[-2]["epoch"] or history[-2]["epoch"] < 1:
        return history
    last, before = history[-1], history[-2]
    done = min((last["step"] - before["step"]) * before["epoch"] / max(before["step"], 1), 1.0)
    return [*history[:-1], {**last, "epoch": before["epoch"] + done}] if done > 0 else history


def _ends(share: float, cases: int) -> tuple[float, float]:
    interval = wilson(round(share * cases), cases)
    return interval.low, interval.high


def _epoch_at(history: Sequence[Mapping[str, Any]]) -> Callable[[float], float]:
    """The epoch, and the share of it, at which a step is, from the steps at which epochs ended."""
    ends = [(0.0, 0.0), *((float(row["step"]), float(row["epoch"])) for row in history)]

    def place(step: float) -> float:
        for (s0, e0), (s1, e1) in itertools.pairwise(ends):
            if step <= s1 and s1 > s0:
                return e0 + (e1 - e0) * (step - s0) / (s1 - s0)
        return ends[-1][1]

    return place


def _chart(series: _Series) -> Chart | None:
    values = [v for curve in series.curves.values() for v in curve if v is not None]
    if not values:
        return None
    ends = [v for band in series.bands.values() for one in band if one is not None for v in one]
    single = [v for _, v in series.single]
    least, most = min([*values, *ends, *single]), max([*values, *ends, *single])
    able = least > 0 and most > least
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_RATIO
    other = _axes(series, least, most, not logarithmic) if able and not as_share(series.measure) else None
    return Chart(series.measure, series.across, _axes(series, least, most, logarithmic), other)


def _axes(series: _Series, least: float, most: float, logarithmic: bool) -> Axes:
    per_cent = as_share(series.measure)
    if per_cent and not series.bands and most - least < FLAT:                # a curve that hardly moves does not look as if it did
        middle = (least + most) / 2
        least, most = max(0.0, min(middle - FLAT / 2, 1 - FLAT)), min(1.0, max(middle + FLAT / 2, FLAT))
    marks_y = _decades(least, most) if logarithmic else nice(least, most)
    if per_cent and not logarithmic and least >= 0 and most <= 1:
        marks_y = [m for m in marks_y if -1e-9 <= m <= 1 + 1e-9]
    low, high = min(marks_y[0], least), max(marks_y[-1], most)
    across = [*series.at, *(a for a, _ in series.single)]
    first, last = min(across), max(across)
    marks_x = [m for m in nice(first, last, whole=True) if first <= m <= last] or [first]

    def x(place: float) -> float:
        share = 0.5 if last == first else (place - first) / (last - first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(number: float) -> float:
        ends = (math.log(low), math.log(high), math.log(number)) if logarithmic else (low, high, number)
        share = 0.5 if ends[0] == ends[1] else (ends[2] - ends[0]) / (ends[1] - ends[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [_line(part, [(x(a), None if v is None else y(v)) for a, v in zip(series.at, curve)]) for part, curve in series.curves.items()]
    lines = tuple(line for line in drawn if line is not None)
    thin = _line("single", [(x(a), y(v)) for a, v in series.single])
    bands = tuple((part, outline) for part, band in series.bands.items() if (outline := _outline(series.at, band, x, y)))
    chosen = series.chosen
    lowest = None if chosen is None else series.curves["valid"][chosen]
    best = None if chosen is None or lowest is None else (x(series.at[chosen]), y(lowest))
    x_ticks = tuple((x(m), f"{m:,.0f}") for m in marks_x)
    y_ticks = tuple((y(m), f"{100 * m:g} %" if per_cent else f"{m:g}") for m in marks_y)
    return Axes(logarithmic, x_ticks, y_ticks, lines, thin.pieces if thin else (), bands, best, _data(series, x, y))


def _outline(at: Sequence[float], band: Sequence[tuple[float, float] | None], x: Callable[[float], float],
             y: Callable[[float], float]) -> str:
    """The points of a band: along its upper edge and back along the lower; nothing for one of fewer than two places."""
    known = [(a, ends) for a, ends in zip(at, band, strict=True) if ends is not None]
    if len(known) < 2:
        return ""
    upper = [f"{x(a):g},{y(high):g}" for a, (_, high) in known]
    return " ".join([*upper, *(f"{x(a):g},{y(low):g}" for a, (low, _) in reversed(known))])


def _data(series: _Series, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """What a script shows under the pointer: place across, words, and heights of each evaluation, as JSON."""
    rows = []
    for i, a in enumerate(series.at):
        values = [(part, curve[i]) for part, curve in series.curves.items() if curve[i] is not None]
        text = f"{series.across} {a:,.7g}: " + ", ".join(f"{ {'train': 'training', 'valid': 'validation'}[p]} {value(series.measure, v)}"
                                                         for p, v in values)
        band = series.bands.get("valid")
        ends = band[i] if band else None
        text += f" ({value(series.measure, ends[0])} to {value(series.measure, ends[1])})" if ends else ""
        rows.append([x(a), text, [y(v) for _, v in values if v is not None]])
    return json.dumps(rows, separators=(",", ":"))


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
    marks = [10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    return marks[:: math.ceil(len(marks) / 8)] if len(marks) > 8 else marks
