"""What an evaluation found: plain numbers with their intervals, to print, to store as JSON and to read back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.measure import headline, is_share
from chainrule.core.schema import Misfit, as_type
from chainrule.core.text import counted, label, shown, table
from chainrule.evaluate.advantage import Advantage
from chainrule.evaluate.intervals import Interval

SHOWN_CLASSES = 10     # unless all are asked for
SHOWN_STEPS = 20
CUT = "…"


@dataclass(frozen=True)
class Measure:
    """A number, both ends of its interval (None only where intervals were not asked for), and how they were found."""

    value: float
    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True)
class Baseline:
    """What the best constant answer scores on the same cases: its name, `always versicolor`, and its measures."""

    name: str
    measures: dict[str, Measure]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **{name: dataclasses.asdict(m) for name, m in self.measures.items()}}

    def as_numbers(self) -> dict[str, Any]:
        """Its name, and each measure as a number, without intervals."""
        return {"name": self.name, **{name: m.value for name, m in self.measures.items()}}


@dataclass(frozen=True)
class Result:
    """Measures of one net on one part of the data.

    `errors`, `accuracy`, its `interval` and `confusion` (rows true, columns predicted) are None except for classification.
    Measures of one class or one target are named `recall[Cat]`. `opened` is how often this test set has been looked at,
    0 for a part that is not a test set. `notes` says which measures are undefined here, and why. `baseline` stands beside the measures
    where there is a constant answer to compare with, `linear` where a linear model was fitted to the same rows, and `against` says of
    these by how much the net is better, case by case. `by` says what `targets` are, whose measures stand in a table of their own.
    """

    task: str
    n: int
    errors: int | None
    accuracy: float | None
    interval: Interval | None
    confusion: list[list[int]] | None
    classes: tuple[str, ...]
    measures: dict[str, Measure]
    opened: int = 0
    level: float = 0.95
    notes: tuple[str, ...] = ()
    targets: tuple[str, ...] = field(default=())
    by: str = "target"
    baseline: Baseline | None = None
    linear: Baseline | None = None
    against: tuple[Advantage, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """True and false positives and negatives of each class against the rest: `{"Cat": {"tp": 5, ...}}`."""
        if self.confusion is None:
            return {}
        columns = [sum(c) for c in zip(*self.confusion, strict=True)]
        counts = {}
        for i, name in enumerate(self.classes):
            tp, row, column = self.confusion[i][i], sum(self.confusion[i]), columns[i]
            counts[name] = {"tp": tp, "fp": column - tp, "tn": self.n - row - column + tp, "fn": row - tp}
        return counts

    def to_dict(self) -> dict[str, Any]:
        simpler = {name: one.to_dict() if one else None for name, one in (("baseline", self.baseline), ("linear", self.linear))}
        return {**dataclasses.asdict(self), "counts": self.counts, **simpler}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """The result that `to_json` wrote, equal to the original. Raises ValueError for what it did not write."""
        record = as_type(dict, json.loads(text))
        for which in ("baseline", "linear"):
            if record.get(which):
                simpler = as_type(dict, record[which])
                record[which] = {"name": simpler.get("name"), "measures": {name: m for name, m in simpler.items() if name != "name"}}
        result: Result = as_type(cls, record)
        if result.confusion is not None and {len(result.classes)} != {len(result.confusion), *map(len, result.confusion)}:
            raise Misfit(f"{len(result.classes)} rows of as many counts", "others", "confusion")
        return result

    def simpler(self) -> dict[str, Any]:
        """The constant answer and the linear model as numbers, None where there is none, and by how much the net is better."""
        return {"baseline": self.baseline.as_numbers() if self.baseline else None,
                "linear": self.linear.as_numbers() if self.linear else None,
                "against": [dataclasses.asdict(one) for one in self.against]}

    def __str__(self) -> str:
        return self.text()

    def text(self, full: bool = False, width: int | None = None) -> str:
        """All of it: of classes the worst ten, or all where `full`; without what a `width` has no room for."""
        tables = [*_headline(self), *_overall(self, width), *_by_class(self, full, width), *_by_target(self)]
        return "\n".join([*tables, *(f"  {n}" for n in self.notes), *self.besides])

    @property
    def headline(self) -> str:
        """The measure to remember with its interval; nothing where there is none."""
        name = headline(self.measures)
        return "" if name is None else _in_words(name, self.measures[name])

    @property
    def besides(self) -> list[str]:
        """A line for each simpler answer, the constant one last: its headline, and by how much the net is better."""
        verdicts, name = {one.name: f"; {one}" for one in self.against}, headline(self.measures)
        return [f"{one.name}: {_in_words(name, one.measures[name])}{verdicts.get(one.name, '')}" for one in (self.linear, self.baseline)
                if one is not None and name is not None and name in one.measures]

    @property
    def beside(self) -> str:
        """The line of the constant answer; nothing where there is none."""
        return self.besides[-1] if self.baseline is not None and self.besides else ""


def _in_words(name: str, m: Measure) -> str:
    number, low, high = _number(name, m)
    return f"{name.replace('_', ' ')} {number}" + (f" ({low} {high})" if low else "")


def _headline(r: Result) -> list[str]:
    kind = f", {len(r.classes)} classes, {counted(r.errors, 'error')}" if r.errors is not None else ""
    opened = f"; test set opened {'once' if r.opened == 1 else f'{r.opened} times'}" if r.opened else ""
    beside = "; last, the same of a constant answer" if r.baseline else ""
    return [f"{counted(r.n, 'case')}{kind} ({100 * r.level:g} % intervals{opened}){beside}"]


def _overall(r: Result, width: int | None) -> list[str]:
    """A row for each measure: its number, interval and method, and the constant answer's; the method first goes where there is no room."""
    rows: list[list[str]] = []
    narrow: list[list[str]] = []
    for name, m in r.measures.items():
        if not name.endswith("]"):
            other = [] if r.baseline is None else _number(name, r.baseline.measures.get(name))
            narrow.append([name.replace("_", " "), *_number(name, m), *other])
            rows.append([*narrow[-1][:4], m.method, *other])
    if not rows:
        return []
    several = (table(rows, left=(0, 4)), table(narrow), table([row[:4] for row in narrow]))
    return _first_that_fits(several, width)


def _first_that_fits(several: Sequence[list[str]], width: int | None) -> list[str]:
    """The first of several tables that is no wider than `width`, else the last."""
    return next((lines for lines in several if width is None or max(map(len, lines)) <= width), several[-1])


def _number(name: str, m: Measure | None) -> list[str]:
    """A measure and the ends of its interval, three cells; empty ones where there is none."""
    share = is_share(name)
    return ["", "", ""] if m is None else [shown(m.value, share) + (" %" if share else ""), *_ends(m, share)]


def _ends(m: Measure, share: bool) -> list[str]:
    return ["", ""] if m.low is None or m.high is None else [shown(m.low, share), f"to {shown(m.high, share)}"]


def _by_class(r: Result, full: bool, width: int | None) -> list[str]:
    """A row for each class, the lowest recall first; intervals, then columns, go where there is no room, and long names are cut."""
    if r.confusion is None:
        return []
    heads = ["precision", "recall", "f1"]
    rows: list[tuple[float, str, str, str, list[Measure | None]]] = []
    for name, row in zip(r.classes, r.confusion, strict=True):
        several = [r.measures.get(f"{head}[{name}]") for head in heads]
        right = row[len(rows)]
        rows.append((2.0 if several[1] is None else several[1].value, label(name), f"{sum(row):,}", f"{right:,}", several))
    rows.sort(key=lambda row: row[0])
    shown_rows = rows if full else rows[:SHOWN_CLASSES]
    title = ["class", "cases", "right", "precision %", "recall %", "F1 %"]
    tables = []
    for ends, columns in ((True, 6), (False, 6), (False, 4)):
        cells = [[name, cases, right, *(_cell(m, ends) for m in several)] for _, name, cases, right, several in shown_rows]
        tables.append(table([row[:columns] for row in [title, *cells]]))
    if width is not None and max(map(len, tables[-1])) > width:
        room = max(8, width - max(map(len, tables[-1])) + max(len(row[1]) for row in shown_rows))
        cells = [[name if len(name) <= room else name[: room - 1] + CUT, cases, right] for _, name, cases, right, _ in shown_rows]
        tables.append(table([title[:3], *cells]))
    lines = ["", *_first_that_fits(tables, width)]
    more = len(rows) - len(shown_rows)
    return [*lines, f"  and {more} classes with a higher recall; --full shows them"] if more else lines


def _cell(m: Measure | None, ends: bool) -> str:
    return "-" if m is None else _bracketed(m, True) if ends else shown(m.value, True)


def _by_target(r: Result) -> list[str]:
    if len(r.targets) < 2:   # of one, its measures are those above
        return []
    heads = [name for name in r.measures if any(f"{name}[{target}]" in r.measures for target in r.targets)]
    rows = []
    every = max(1, math.ceil(len(r.targets) / SHOWN_STEPS)) if r.by != Result.by else 1
    for target in r.targets[::every]:
        cells = [(head, r.measures.get(f"{head}[{target}]")) for head in heads]
        rows.append([target, *("-" if m is None else _bracketed(m, is_share(head)) for head, m in cells)])
    return ["", *table([[r.by, *(f"{head} %" if is_share(head) else head for head in heads)], *rows])]


def _bracketed(m: Measure, share: bool) -> str:
    ends = "" if m.low is None or m.high is None else f" ({shown(m.low, share)} to {shown(m.high, share)})"
    return shown(m.value, share) + ends
