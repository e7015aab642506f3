"""What looks say layer by layer over the steps of a run, all on one scale: a table, a sentence about it, and lines of text to print.

The gradient by layers on a logarithmic scale: Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chainrule.core.errors import InputError, suggest
from chainrule.core.events import Event, Looked
from chainrule.core.text import natural

LOWEST, HIGHEST = -9, 3      # powers of ten that every logarithmic scale spans; data that exceed them extend it
BLOCKS = "▁▂▃▄▅▆▇█"
ZERO, NOT_FINITE, ABSENT = "·", "×", " "
ALIKE = 1.0                  # powers of ten within which layers are called alike
MOST_OF = 0.6                # of a fall: what is called the place where it happens


@dataclass(frozen=True)
class Reading:
    """One number of every layer: how looks call it, what it is in words, and whether its scale is logarithmic (else from 0 to 1)."""

    key: str
    words: str
    logarithmic: bool = True


READINGS = {
    "gradient": Reading("gradient", "gradient, RMS"),
    "update": Reading("update", "update over weights"),
    "activation-sd": Reading("activation_sd", "standard deviation of activations"),
    "dead": Reading("dead", "share of dead units", logarithmic=False),
}


@dataclass(frozen=True)
class Flow:
    """One reading of every layer at every look: `values` has a row for each of `layers`, the one nearest the input first, and a column
    for each of `steps`; None where nothing was read, nan or infinite where it was not finite.
    """

    reading: Reading
    layers: tuple[str, ...]
    steps: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]

    def at(self, look: int = -1) -> list[float | None]:
        """The reading of every layer at one look, the last if left out."""
        return [row[look] for row in self.values]

    def thinned(self, most: int) -> Flow:
        """At most about so many looks, spread evenly over them, first and last among them."""
        n = len(self.steps)
        if n <= most:
            return self
        picked = sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
        values = tuple(tuple(row[i] for i in picked) for row in self.values)
        return Flow(self.reading, self.layers, tuple(self.steps[i] for i in picked), values)


def reading_called(name: str) -> Reading:
    """Raises InputError for a name that is none of READINGS."""
    if name not in READINGS:
        raise InputError(f"There is no reading of layers called '{name}'. {suggest(name, READINGS)}")
    return READINGS[name]


def flow_of(events: Iterable[Event], reading: str = "gradient") -> Flow | None:
    """What the looks among the events of a run read of its layers; None where no look read it of any layer. Raises InputError."""
    chosen = reading_called(reading)
    looks: dict[int, Mapping[str, Any]] = {e.step: e.looks for e in events if isinstance(e, Looked) and chosen.key in e.looks}
    layers: list[str] = []
    for look in looks.values():
        _merge(layers, [str(name) for name in look.get("layers", ())])
    steps = sorted(looks)
    columns = []
    for step in steps:
        look = looks[step]
        own = {str(name): number(value) for name, value in zip(look.get("layers", ()), look[chosen.key], strict=False)}
        columns.append([own.get(name) for name in layers])
    rows = tuple(tuple(column[i] for column in columns) for i in range(len(layers)))
    known = [i for i, row in enumerate(rows) if any(value is not None for value in row)]
    if not known:
        return None
    return Flow(chosen, tuple(layers[i] for i in known), tuple(steps), tuple(rows[i] for i in known))


def _merge(layers: list[str], names: Sequence[str]) -> None:
    """Put names that are new behind those they follow: stages of one run may have layers of their own."""
    at = 0
    for name in names:
        if name in layers:
            at = layers.index(name) + 1
        else:
            layers.insert(at, name)
            at += 1


def number(value: Any) -> float | None:
    """A number of a look: what is not finite stands as a word in a log, and what does not apply is None.

    >>> number("nan"), number(None), number(2)
    (nan, None, 2.0)
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None


def scale_of(flows: Sequence[Flow]) -> tuple[float, float]:
    """Both ends of the scale on which all of them are drawn: powers of ten, LOWEST to HIGHEST or as far as data go; shares 0 to 1."""
    if not all(flow.reading.logarithmic for flow in flows):
        return 0.0, 1.0
    known = [math.log10(v) for flow in flows for row in flow.values for v in row if v is not None and 0 < v < math.inf]
    low, high = (math.floor(min(known) + 1e-9), math.ceil(max(known) - 1e-9)) if known else (LOWEST, HIGHEST)
    return float(min(low, LOWEST)), float(max(high, HIGHEST))


def share(value: float | None, scale: tuple[float, float], logarithmic: bool = True) -> float | None:
    """Where a value stands on the scale, in [0, 1]; None where there is none, it is zero on a logarithmic scale, or not finite."""
    if value is None or not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    at = math.log10(value) if logarithmic else value
    return min(max((at - scale[0]) / (scale[1] - scale[0]), 0.0), 1.0)


def sparkline(values: Sequence[float | None], scale: tuple[float, float], *, logarithmic: bool = True, width: int | None = None,
              blocks: str = BLOCKS) -> str:
    """A character for each value, higher where it is greater on the scale; of more than `width` values evenly spread ones.

    Zero on a logarithmic scale is ZERO, what is not finite NOT_FINITE, what was not read ABSENT.

    >>> sparkline([1e-9, 1e-3, 1e3, 0.0, float("nan"), None], (-9, 3))
    '▁▅█·× '
    """
    n = len(values)
    picked = [values[round(i * (n - 1) / max(width - 1, 1))] for i in range(width)] if width is not None and n > width else list(values)
    return "".join(_character(value, scale, logarithmic, blocks) for value in picked)


def _character(value: float | None, scale: tuple[float, float], logarithmic: bool, blocks: str) -> str:
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return NOT_FINITE
    at = share(value, scale, logarithmic)
    return ZERO if at is None else blocks[min(int(at * len(blocks)), len(blocks) - 1)]


def lines(flow: Flow, *, width: int = 40, names: int = 24, blocks: str = BLOCKS) -> list[str]:
    """A line for each layer, the one nearest the output on top: its name, a sparkline over the looks on one scale, the last value."""
    scale = scale_of([flow])
    shown = [_short(name, names) for name in flow.layers]
    wide = max(map(len, shown))
    return [f"{name.ljust(wide)}  {sparkline(row, scale, logarithmic=flow.reading.logarithmic, width=width, blocks=blocks)}  "
            f"{written(row[-1], flow.reading)}" for name, row in reversed(list(zip(shown, flow.values, strict=True)))]


def line(flow: Flow, *, look: int = -1, width: int = 24, blocks: str = BLOCKS) -> str:
    """One line about one look: a character for each layer from the input to the output, and the readings of the first and the last.

    >>> flow = Flow(READINGS["gradient"], ("a", "b", "c"), (7,), ((1e-8,), (1e-4,), (1.0,)))
    >>> line(flow)
    'gradient ▁▄▇ 1.0e-08 at a to 1.0 at c'
    """
    profile, name = flow.at(look), flow.reading.words.partition(",")[0]
    drawn = sparkline(profile, scale_of([flow]), logarithmic=flow.reading.logarithmic, width=width, blocks=blocks)
    known = [(layer, value) for layer, value in zip(flow.layers, profile, strict=True) if value is not None]
    if not known:
        return f"{name} {drawn}"
    first, last = known[0], known[-1]
    end = "" if len(known) == 1 else f" to {written(last[1], flow.reading)} at {_short(last[0], 24)}"
    return f"{name} {drawn} {written(first[1], flow.reading)} at {_short(first[0], 24)}{end}"


def written(value: float | None, reading: Reading = READINGS["gradient"]) -> str:
    """A reading in words: two digits; shares in per cent.

    >>> written(0.00031), written(0.25, READINGS["dead"]), written(0.0)
    ('3.1e-04', '25 %', '0')
    """
    if value is None:
        return "not read"
    if not math.isfinite(value):
        return "not finite"
    if not reading.logarithmic:
        return f"{100 * value:.3g} %"
    if value == 0:
        return "0"
    return f"{value:.1e}" if not 1e-3 <= abs(value) < 1e4 else f"{value:.2g}" if abs(value) < 1 else f"{value:,.1f}"


def sentence(flow: Flow, look: int = -1) -> str:
    """What the reading does from layer to layer at one look, the last if left out, in one sentence of numbers."""
    step, profile = flow.steps[look], flow.at(look)
    subject = "the gradient" if flow.reading.key == "gradient" else f"the {flow.reading.words}"
    lost = [(layer, s) for layer, row in zip(flow.layers, flow.values, strict=True) for s, v in zip(flow.steps, row, strict=True)
            if v is not None and not math.isfinite(v)]
    if lost:
        layer, since = min(lost, key=lambda one: one[1])
        return f"{subject[0].upper()}{subject[1:]} is not finite from step {since:,} on, first at {layer}."
    known = [(layer, value) for layer, value in zip(flow.layers, profile, strict=True) if value is not None]
    if not known:
        return f"At step {step:,} no layer was read."
    if not flow.reading.logarithmic:
        return _of_shares(step, known, flow.reading)
    positive = [(layer, math.log10(value)) for layer, value in known if value > 0]
    if not positive:
        return f"At step {step:,} {subject} is exactly zero at every layer."
    zero = [layer for layer, value in known if value == 0]
    end = f" It is exactly zero at {_listed(zero)}." if zero else ""
    return f"At step {step:,} {_of_decades(subject, positive)}.{end}"


def _of_decades(subject: str, positive: Sequence[tuple[str, float]]) -> str:
    """How a reading runs from the output down to the input, by its powers of ten at each layer, the first nearest the input."""
    if len(positive) == 1:
        return f"{subject} is {written(10 ** positive[0][1])} at {positive[0][0]}, the only layer that was read"
    (bottom, low), (top, high) = positive[0], positive[-1]
    least, most = min(positive, key=lambda one: one[1]), max(positive, key=lambda one: one[1])
    fall, steepest = high - low, max(pairwise(positive), key=lambda pair: (pair[1][1] - pair[0][1]) * (1 if high >= low else -1))
    if most[1] - least[1] < ALIKE:
        return (f"{subject} is alike at every layer: {written(10 ** least[1])} at {least[0]} is the least, "
                f"{written(10 ** most[1])} at {most[0]} the greatest")
    if abs(fall) < ALIKE:
        return (f"{subject} is {written(10 ** high)} at {top} and {written(10 ** low)} at {bottom}, but between them it goes from "
                f"{written(10 ** least[1])} at {least[0]} to {written(10 ** most[1])} at {most[0]}")
    verb, times = ("falls", "times less") if fall > 0 else ("grows", "times more")
    words = (f"{subject} {verb} from {written(10 ** high)} at {top} to {written(10 ** low)} at {bottom}, {_times(abs(fall))} {times}, "
             f"on its way down")
    if len(positive) > 2 and abs(steepest[1][1] - steepest[0][1]) > MOST_OF * abs(fall):
        return f"{words}, most of it between {steepest[1][0]} and {steepest[0][0]}"
    return words


def _of_shares(step: int, known: Sequence[tuple[str, float]], reading: Reading) -> str:
    layer, most = max(known, key=lambda one: one[1])
    if most == 0:
        return f"At step {step:,} no layer has a dead unit."
    some = sum(value > 0 for _, value in known)
    others = f"; {some} of {len(known)} layers have some" if len(known) > 1 else ""
    return f"At step {step:,} {written(most, reading)} of the units of {layer} are dead, the most of any layer{others}."


def _times(decades: float) -> str:
    """A factor of so many powers of ten: `250`, `10^6.9`."""
    return f"{10**decades:,.0f}" if decades < 5 else f"10^{decades:.1f}"


def _listed(names: Sequence[str]) -> str:
    ordered = sorted(names, key=natural)
    shown = ", ".join(ordered[:4])
    return shown if len(ordered) <= 4 else f"{shown} and {len(ordered) - 4} more"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else "…" + name[1 - most:]
