"""The number on top of a report, with its interval and what the constant answer scores, on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.core.measure import headline as headline_of
from chainrule.core.measure import main_measure
from chainrule.report.charts import nice
from chainrule.report.facts import Facts
from chainrule.report.words import as_share, finite, value


@dataclass(frozen=True)
class Strip:
    """Places in per cent of the width: the number, its interval (start, width), the constant answer's, and (place, text) of marks."""

    number: float
    interval: tuple[float, float] | None
    constant: float | None
    around: tuple[float, float] | None
    marks: tuple[tuple[float, str], ...]


def headline(facts: Facts) -> dict[str, Any] | None:
    """The one number to remember, with its interval: of the test part where it was opened, else of the validation part."""
    result, part = (facts.test, "test") if facts.test else (facts.valid, "validation")
    if result:
        measures = result["measures"]
        name = "accuracy" if result.get("accuracy") is not None else headline_of(measures)
        if name is None:
            return None
        number, low, high = result.get("accuracy"), None, None
        if name == "accuracy" and result.get("interval"):
            low, high = result["interval"]["low"], result["interval"]["high"]
        elif name in measures:
            number, low, high = measures[name]["value"], measures[name]["low"], measures[name]["high"]
        constant = _constant(result.get("baseline"), name)
        return {"part": part, "name": name, "number": value(name, number), "low": low, "high": high, "n": result["n"],
                "errors": result.get("errors"), "level": result.get("level", 0.95), "opened": result.get("opened", 0),
                "constant": constant, "strip": strip(name, number, low, high, constant)}
    best = next((row for row in reversed(facts.history) if row["best"]), None)
    name = main_measure(best["valid"]) if best else None
    if best is None or name is None:
        return None
    return {"part": "validation", "name": name, "number": value(name, best["valid"][name]), "low": None, "high": None,
            "n": facts.splits.get("valid"), "errors": None, "level": None, "opened": 0, "constant": None, "strip": None}


def strip(name: str, number: Any, low: Any, high: Any, constant: Mapping[str, Any] | None) -> Strip | None:
    """Where all of them stand on one scale: of shares from 0 to 100 %, of other measures from zero or the least of them on."""
    raw = None if constant is None else constant["raw"]
    ends = () if constant is None else (constant["low"], constant["high"])
    known = [v for v in map(finite, (number, low, high, raw, *ends)) if v is not None]
    at = finite(number)
    if at is None:
        return None
    if as_share(name) and min(known) >= 0 and max(known) <= 1:
        marks = [0.0, 0.25, 0.5, 0.75, 1.0]
    else:
        marks = nice(min(0.0, *known), max(0.0, *known))
    first, last = min(marks[0], *known), max(marks[-1], *known)

    def place(v: float) -> float:
        return round(100 * (v - first) / ((last - first) or 1.0), 2)

    def span(a: Any, b: Any) -> tuple[float, float] | None:
        one, other = finite(a), finite(b)
        return None if one is None or other is None else (place(one), max(round(place(other) - place(one), 2), 0.4))

    texts = tuple((place(m), f"{100 * m:g} %" if as_share(name) else f"{m:,.6g}") for m in marks)
    around = None if constant is None else span(constant["low"], constant["high"])
    beside = finite(raw)
    return Strip(place(at), span(low, high), None if beside is None else place(beside), around, texts)


def _constant(baseline: Mapping[str, Any] | None, measure: str) -> dict[str, Any] | None:
    """What the constant answer scores by the headline's measure: its name, the number, and the ends of its interval."""
    if not baseline or measure not in baseline:
        return None
    one = baseline[measure]
    return {"name": baseline["name"], "number": value(measure, one["value"]), "raw": one["value"], "low": one["low"], "high": one["high"]}
