"""The gradient flow of a report: layers by steps as a picture, the profile of one look beside it, and every layer's histograms.

What is drawn stands without a script; the numbers that a script shows under the pointer stand in attributes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.core.events import Event, Looked
from chainrule.core.flow import READINGS, Flow, flow_of, scale_of, sentence, share, written
from chainrule.report.bitmap import LEVELS, NOT_FINITE, ZERO, level, mapped

MOST_LOOKS = 160
LEFT, ACROSS, GAP, PROFILE, TOP, BOTTOM = 132, 420, 34, 150, 6, 26     # of the drawing, in its units
WIDTH = LEFT + ACROSS + GAP + PROFILE + 8
NARROWEST, WIDEST, TALLEST = 7.0, 26.0, 460.0                          # a row of a layer, and all of them
NAMED = 11.0                                                           # a row that is lower bears no name
MANY = 60                                                              # steps from which on powers of ten alone are marked
MOST_OPENED = 60                                                       # layers whose histograms are in the file
FILES = {"activation": "activations", "gradient": "gradient", "weight_gradient": "gradient by the weights", "update": "update"}


@dataclass(frozen=True)
class Opened:
    """The histograms of one layer through time: (title, address of a picture) for each kind."""

    layer: str
    number: int
    pictures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Drawing:
    """One reading of one run as geometry: rows from the output down, `data` what a script reads, as JSON."""

    key: str
    title: str
    run: str
    height: float
    row: float
    address: str
    names: tuple[tuple[float, str, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    scale_ticks: tuple[tuple[float, str], ...]
    profile: str
    marks: tuple[tuple[float, str], ...]
    step: str
    ends: tuple[str, str]
    sentence: str
    summary: str
    data: str


def drawings(runs: Sequence[tuple[str, Mapping[str, Flow]]]) -> list[list[Drawing]]:
    """For each reading that any run has, a drawing of each run that has it, all of a reading on one scale."""
    several = []
    for name in READINGS:
        flows = [(run, readings[name].thinned(MOST_LOOKS)) for run, readings in runs if name in readings]
        if flows:
            scale = scale_of([flow for _, flow in flows])
            several.append([_drawing(name, run, flow, scale) for run, flow in flows])
    return several


def readings_of(events: Sequence[Event]) -> dict[str, Flow]:
    """Every reading that the looks of a run have of its layers, by name."""
    return {name: flow for name in READINGS if (flow := flow_of(events, name)) is not None}


def _drawing(key: str, run: str, flow: Flow, scale: tuple[float, float]) -> Drawing:
    n, logarithmic = len(flow.layers), flow.reading.logarithmic
    row = min(max(TALLEST / n, NARROWEST), WIDEST)
    columns, x = _columns(flow.steps)
    address = _address([[_colour(values[c], scale, logarithmic) for c in columns] for values in reversed(flow.values)])
    every = max(1, math.ceil(NAMED / row))
    names = tuple((TOP + row * (i + 0.5), _short(name), name) for i, name in enumerate(reversed(flow.layers)) if i % every == 0)
    last = len(flow.steps) - 1
    values = list(reversed(flow.at()))
    at = [(share(v, scale, logarithmic), i) for i, v in enumerate(values)]
    profile = " ".join(f"{_across(s):.1f},{TOP + row * (i + 0.5):.1f}" for s, i in at if s is not None)
    marks = tuple((TOP + row * (i + 0.5), "zero" if v == 0 else "not finite") for (s, i), v in zip(at, values, strict=True)
                  if s is None and v is not None)
    data = {"x": [round(v, 1) for v in x], "steps": list(flow.steps), "layers": list(reversed(flow.layers)), "row": row, "top": TOP,
            "log": logarithmic, "scale": list(scale), "words": flow.reading.words,
            "values": [[_packed(v, logarithmic) for v in values] for values in reversed(flow.values)]}
    return Drawing(key, flow.reading.words, run, TOP + row * n + BOTTOM, row, address, names, _x_ticks(flow.steps),
                   _scale_ticks(scale, logarithmic), profile, marks, f"{flow.steps[last]:,}",
                   _ends(scale, logarithmic), sentence(flow), _summary(flow),
                   json.dumps(data, separators=(",", ":")))


def _columns(steps: Sequence[int]) -> tuple[list[int], list[float]]:
    """Which look each column of the picture shows, and where each look stands across the drawing; even in the logarithm of the step."""
    first, last = (math.log10(1 + step) for step in (steps[0], steps[-1]))
    at = [math.log10(1 + step) for step in steps]
    span = last - first
    if span == 0:
        return [0] * ACROSS, [LEFT + ACROSS / 2] * len(steps)
    x = [LEFT + ACROSS * (a - first) / span for a in at]
    columns, look = [], 0
    for c in range(ACROSS):
        place = LEFT + c + 0.5
        while look + 1 < len(x) and abs(x[look + 1] - place) <= abs(x[look] - place):
            look += 1
        columns.append(look)
    return columns, x


def _x_ticks(steps: Sequence[int]) -> tuple[tuple[float, str], ...]:
    first, last = math.log10(1 + steps[0]), math.log10(1 + steps[-1])
    if first == last:
        return ((LEFT + ACROSS / 2, f"{steps[0]:,}"),)
    fine = (1, 2, 5) if steps[-1] < MANY else (1,)
    marks = [step for step in (0, *(m * 10**p for p in range(12) for m in fine)) if steps[0] <= step <= steps[-1]]
    return tuple((round(LEFT + ACROSS * (math.log10(1 + m) - first) / (last - first), 1), f"{m:,}") for m in marks)


def _scale_ticks(scale: tuple[float, float], logarithmic: bool) -> tuple[tuple[float, str], ...]:
    if not logarithmic:
        return tuple((_across(s), f"{100 * s:.0f} %") for s in (0.0, 0.5, 1.0))
    every = 3 if scale[1] - scale[0] <= 15 else 6
    first = math.ceil(scale[0] / every) * every
    return tuple((_across((p - scale[0]) / (scale[1] - scale[0])), f"1e{p}") for p in range(first, math.floor(scale[1]) + 1, every))


def _ends(scale: tuple[float, float], logarithmic: bool) -> tuple[str, str]:
    """Both ends of the scale in words."""
    return (f"1e{scale[0]:.0f}", f"1e{scale[1]:.0f}") if logarithmic else ("0 %", "100 %")


def _across(place: float) -> float:
    """Where a place on the scale is in the profile."""
    return round(LEFT + ACROSS + GAP + PROFILE * place, 1)


def _colour(value: float | None, scale: tuple[float, float], logarithmic: bool) -> int:
    if value is not None and not math.isfinite(value):
        return NOT_FINITE
    if value is not None and logarithmic and value <= 0:
        return ZERO
    return level(share(value, scale, logarithmic))


def _packed(value: float | None, logarithmic: bool) -> int | str | None:
    """A value in few characters: hundredths of its power of ten, or thousandths of a share; `z` for zero, `n` for what is not finite."""
    if value is None:
        return None
    if not math.isfinite(value):
        return "n"
    if not logarithmic:
        return round(1000 * value)
    return "z" if value <= 0 else round(100 * math.log10(value))


def _summary(flow: Flow) -> str:
    """What the picture shows, for those who do not see it."""
    ends = [f"{layer} {written(value, flow.reading)}" for layer, value in zip(reversed(flow.layers), reversed(flow.at()), strict=True)]
    n, looks = len(flow.layers), len(flow.steps)
    return f"{flow.reading.words} of {n} layers over {looks} looks. Last look, from the output: {', '.join(ends[:40])}"


def opened(events: Sequence[Event]) -> list[Opened]:
    """The histograms of every layer through time, of kinds that looks have, the layer nearest the output first."""
    looks = [e for e in events if isinstance(e, Looked) and e.looks.get("histograms")]
    if not looks:
        return []
    if len(looks) > MOST_LOOKS:
        looks = [looks[round(i * (len(looks) - 1) / (MOST_LOOKS - 1))] for i in range(MOST_LOOKS)]
    layers = [str(name) for name in looks[-1].looks["layers"]]
    looks = [e for e in looks if [str(name) for name in e.looks["layers"]] == layers]
    columns, _ = _columns([e.step for e in looks])
    columns = columns[::2]
    several = []
    for i, layer in list(enumerate(layers))[::-1][:MOST_OPENED]:
        pictures = []
        for kind, title in FILES.items():
            counts = [_counts(e.looks["histograms"], kind, i) for e in looks]
            if any(counts):
                pictures.append((title, _address(_spread(counts, columns))))
        if pictures:
            several.append(Opened(layer, len(layers) - 1 - i, tuple(pictures)))
    return several


def _counts(histograms: Any, kind: str, layer: int) -> list[float] | None:
    rows = histograms.get(kind) if isinstance(histograms, Mapping) else None
    row = rows[layer] if isinstance(rows, list) and layer < len(rows) else None
    return [float(v) for v in row] if isinstance(row, list) and row and all(isinstance(v, int | float) for v in row) else None


def _spread(counts: Sequence[Sequence[float] | None], columns: Sequence[int]) -> list[list[int]]:
    """Rows of colours, the largest values on top: each column the shares of one look, even in their root, so that tails show."""
    bins = max(len(row) for row in counts if row)
    shares = [[0.0] * bins if row is None else [v / (sum(row) or 1) for v in row] for row in counts]
    most = max(max(row) for row in shares) or 1.0
    return [[level(math.sqrt(shares[c][b] / most)) if shares[c][b] else level(None) for c in columns] for b in reversed(range(bins))]


def palette_address() -> str:
    """The scale itself as a picture, one row from its lower to its upper end."""
    return _address([list(range(LEVELS))])


def _address(rows: Sequence[Sequence[int]]) -> str:
    return "data:image/png;base64," + base64.b64encode(mapped(rows)).decode()


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else "…" + name[1 - most:]
