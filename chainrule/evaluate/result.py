"""What an evaluation found: plain numbers with their intervals, to print, to store as JSON and to read back."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

from chainrule.core.measure import headline, is_share
from chainrule.core.text import shown, table
from chainrule.evaluate.intervals import Interval

SHOWN_CLASSES = 20


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

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Baseline:
        """The baseline that `to_dict` described."""
        return cls(record["name"], {name: Measure(**m) for name, m in record.items() if name != "name"})


@dataclass(frozen=True)
class Result:
    """Measures of one net on one part of the data.

    `errors`, `accuracy`, its `interval` and `confusion` (rows true, columns predicted) are None except for classification.
    Measures of one class or one target are named `recall[Cat]`. `opened` is how often this test set has been looked at,
    0 for a part that is not a test set. `notes` says which measures are undefined here, and why. `baseline` stands beside the measures
    where there is a constant answer to compare with. `by` says what `targets` are, whose measures stand in a table of their own.
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
        return {**dataclasses.asdict(self), "counts": self.counts, "baseline": self.baseline.to_dict() if self.baseline else None}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """The result that `to_json` wrote, equal to the original."""
        record = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        record = {k: tuple(v) if k in ("classes", "notes", "targets") else v for k, v in record.items() if k in known}
        record["interval"] = None if record["interval"] is None else Interval(**record["interval"])
        record["measures"] = {name: Measure(**m) for name, m in record["measures"].items()}
        record["baseline"] = Baseline.from_dict(record["baseline"]) if record.get("baseline") else None
        return cls(**record)

    @staticmethod
    def baseline_in(record: dict[str, Any] | None) -> dict[str, Any] | None:
        """The constant answer of a stored result, without its intervals: its name, and each measure as a number."""
        found = None if record is None else record.get("baseline")
        return None if found is None else {name: m if name == "name" else m["value"] for name, m in found.items()}

    def __str__(self) -> str:
        tables = _headline(self) + _overall(self) + _by_class(self) + _by_target(self)
        return "\n".join([*tables, *(f"  {n}" for n in self.notes), *([self.beside] if self.beside else [])])

    @property
    def beside(self) -> str:
        """The headline of the constant answer in words, with its interval; nothing where there is none."""
        name = headline(self.measures)
        if self.baseline is None or name is None or name not in self.baseline.measures:
            return ""
        number, low, high = _number(name, self.baseline.measures[name])
        return f"{self.baseline.name}: {name.replace('_', ' ')} {number}" + (f" ({low} {high})" if low else "")


def _headline(r: Result) -> list[str]:
    plural = "" if r.errors == 1 else "s"
    kind = f", {len(r.classes)} classes, {r.errors:,} error{plural}" if r.errors is not None else ""
    opened = f"; test set opened {'once' if r.opened == 1 else f'{r.opened} times'}" if r.opened else ""
    beside = "; last, the same of a constant answer" if r.baseline else ""
    return [f"{r.n:,} cases{kind} ({100 * r.level:g} % intervals{opened}){beside}"]


def _overall(r: Result) -> list[str]:
    rows = []
    for name, m in r.measures.items():
        if not name.endswith("]"):
            beside = [] if r.baseline is None else _number(name, r.baseline.measures.get(name))
            rows.append([name.replace("_", " "), *_number(name, m), m.method, *beside])
    return table(rows, left=(0, 4)) if rows else []


def _number(name: str, m: Measure | None) -> list[str]:
    """A measure and the ends of its interval, three cells; empty ones where there is none."""
    share = is_share(name)
    return ["", "", ""] if m is None else [shown(m.value, share) + (" %" if share else ""), *_ends(m, share)]


def _ends(m: Measure, share: bool) -> list[str]:
    return ["", ""] if m.low is None or m.high is None else [shown(m.low, share), f"to {shown(m.high, share)}"]


def _by_class(r: Result) -> list[str]:
    if r.confusion is None:
        return []
    heads = ["precision", "recall", "f1"]
    rows = []
    for name, row in zip(r.classes, r.confusion, strict=True):
        cells = []
        for head in heads:
            m = r.measures.get(f"{head}[{name}]")
            ends = "" if m is None or m.low is None or m.high is None else f" ({shown(m.low, True)} to {shown(m.high, True)})"
            cells.append("-" if m is None else shown(m.value, True) + ends)
        rows.append([name, f"{sum(row):,}", f"{row[r.classes.index(name)]:,}", *cells])
    title = ["class", "cases", "right", "precision %", "recall %", "F1 %"]
    if len(rows) <= SHOWN_CLASSES:
        return ["", *table([title, *rows])]

    def recall(row: list[str]) -> float:
        m = r.measures.get(f"recall[{row[0]}]")
        return 2.0 if m is None else m.value

    worst = sorted(rows, key=recall)[:SHOWN_CLASSES]
    return ["", f"  the {SHOWN_CLASSES} classes of {len(rows)} with the lowest recall", *table([title, *worst])]


def _by_target(r: Result) -> list[str]:
    if len(r.targets) < 2:   # of one, its measures are those above
        return []
    heads = [name for name in r.measures if any(f"{name}[{target}]" in r.measures for target in r.targets)]
    rows = []
    every = max(1, math.ceil(len(r.targets) / SHOWN_CLASSES)) if r.by != Result.by else 1
    for target in r.targets[::every]:
        cells = [(head, r.measures.get(f"{head}[{target}]")) for head in heads]
        rows.append([target, *("-" if m is None else _bracketed(m, is_share(head)) for head, m in cells)])
    return ["", *table([[r.by, *(f"{head} %" if is_share(head) else head for head in heads)], *rows])]


def _bracketed(m: Measure, share: bool) -> str:
    ends = "" if m.low is None or m.high is None else f" ({shown(m.low, share)} to {shown(m.high, share)})"
    return shown(m.value, share) + ends
