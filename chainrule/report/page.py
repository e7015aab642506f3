"""The report: one self-contained HTML file about a run, which loads nothing and runs nothing."""

from __future__ import annotations

import base64
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Entered, Evaluated, Event, Finished, Planned, Sampled, Started, Warned
from chainrule.core.files import write_atomically
from chainrule.core.measure import headline as headline_of
from chainrule.core.measure import is_share, main_measure
from chainrule.core.text import duration, sentence, shown, visible
from chainrule.report.charts import Chart, charts, finite

Picture = tuple[str, bytes]  # a caption and the bytes of a PNG
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = 112          # pictures narrower than this are shown enlarged, a cell of a grid each
MOST_CLASSES = 25    # of a confusion matrix that fits a page
CONFUSIONS = 8       # named in words
MOST_CLASS_ROWS = 50
SPELLED = {"ece": "expected calibration error", "roc_auc": "area under the ROC curve", "f1": "F1", "macro_f1": "macro F1", "r2": "R²",
           "brier": "Brier score", "rmse": "root mean squared error", "mae": "mean absolute error"}


@dataclass(frozen=True)
class Table:
    """A table of text under a title; the first column names the row, and `note` is said below. Cells of `prose` keep their lines."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    prose: bool = False


@dataclass(frozen=True)
class Facts:
    """What the report tells, as plain data. Only `title` is needed; sections without facts are left out.

    `history` holds rows {epoch, step, train{}, valid{}, best}; `layers` rows {name, kind, input, output, parameters, multiply_adds,
    times}, each so many times;
    `plans`, in the order they ran, {name, since, precision, seconds_per_step, rejected[{plan, reason}], reason}; `timings`
    seconds; `test` and `valid` what `evaluate.Result.to_dict` gives. `mistakes`, `weights` and `pictures` are PNGs: one large
    picture or many small ones.
    """

    title: str
    run: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()
    plans: Sequence[Mapping[str, Any]] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    diagnoses: Sequence[Mapping[str, str]] = ()
    warnings: Sequence[str] = ()
    valid: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    tables: Sequence[Table] = ()
    mistakes: Sequence[Picture] = ()
    weights: Sequence[Picture] = ()
    pictures: Sequence[Picture] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_log(cls, events: Sequence[Event]) -> Facts:
        """What the run log alone tells; `dataclasses.replace` adds the rest."""
        started = next((e for e in events if isinstance(e, Started)), None)
        finished = next((e for e in reversed(events) if isinstance(e, Finished)), None)
        plans = [{"name": e.name, "since": e.since, "precision": e.precision, "seconds_per_step": e.seconds_per_step,
                  "rejected": e.rejected, "reason": e.reason} for e in events if isinstance(e, Planned)]
        described = dict(started.data) if started else {}
        last = max((e.stage for e in events if isinstance(e, Evaluated)), default=0)
        return cls(
            title=f"{started.net} on {described.get('name', 'data')}" if started else "A run",
            run=started.run if started else "",
            settings={"rule": started.rule, **started.settings} if started else {},
            splits=described.pop("splits", {}), data=described, plans=plans, timings=finished.timing if finished else {},
            history=[{"epoch": e.epoch, "step": e.step, "train": e.train, "valid": e.valid, "best": e.best}
                     for e in events if isinstance(e, Evaluated) and e.stage == last],
            diagnoses=[{"layer": e.layer, "evidence": e.evidence, "remedy": e.remedy} for e in events if isinstance(e, Diagnosed)],
            warnings=list(dict.fromkeys(e.message for e in events if isinstance(e, Warned))),
            tables=[*before_the_whole(events), *written(events)],
        )


def before_the_whole(events: Sequence[Event]) -> list[Table]:
    """What was learned in the stages before the last, if there were such: the last losses of each."""
    names = {e.stage: e.name for e in events if isinstance(e, Entered)}
    ends = {e.stage: e for e in events if isinstance(e, Evaluated)}
    rows = [[names.get(stage, str(stage + 1)), str(e.epoch), f"{e.train['loss']:.4g}",
             f"{e.valid['loss']:.4g}" if "loss" in e.valid else ""]
            for stage, e in sorted(ends.items())[:-1]]
    heads = ["stage", "epochs", "train loss", "valid loss"]
    return [Table("Learned before the whole", heads, rows, "The loss of a stage is that of its rule.")] if rows else []


def written(events: Sequence[Event]) -> list[Table]:
    """What the net wrote on the way, blanks as signs, if it was recorded."""
    rows = [[f"{e.step:,}", visible(text)] for e in events if isinstance(e, Sampled) for text in e.texts]
    return [Table("Written on the way", ["after step", "sample"], rows, "␣ is a blank, ⏎ the end of a line.", prose=True)] if rows else []


def write(out: Path, facts: Facts) -> Path:
    """Write the report to `out` and return it. Raises InputError where a picture is no PNG or the file cannot be written."""
    page = render(facts)
    try:
        write_atomically(Path(out), page.encode())
    except OSError as error:
        raise InputError(f"The report {out} cannot be written: {error.strerror}. Name another file with --out.") from None
    return Path(out)


def render(facts: Facts) -> str:
    """The page as text. Whatever comes from data or files is escaped."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"value": value, "words": words, "duration": duration, "sentence": sentence, "shape": _shape, "start": start}
    return environment.from_string(source).render(
        facts=facts, headline=headline(facts), charts=charts(facts.history), describe=describe,
        found=detail(facts.test or facts.valid), settings=flat(facts.settings), data=flat(facts.data),
        mistakes=_pictures(facts.mistakes), weights=_pictures(facts.weights), pictures=_pictures(facts.pictures),
        command=f"chainrule repeat {shlex.quote(facts.run)}" if facts.run else "", totals=_totals(facts.layers))


def value(name: str, number: Any) -> str:
    """A measure as people read it: shares in per cent, the rest with four digits."""
    known = finite(number)
    if known is None:
        return "not finite" if number is not None else "–"
    share = is_share(name) or name == "error"
    return shown(known, share) + (" %" if share else "")


def words(name: str) -> str:
    """The name of a measure or setting in plain words."""
    return SPELLED.get(name, name.replace("_", " "))


def start(text: str) -> str:
    """The text with its first letter capital and the others as they are."""
    return text[:1].upper() + text[1:]


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
        return {"part": part, "name": name, "number": value(name, number), "low": low, "high": high, "n": result["n"],
                "errors": result.get("errors"), "level": result.get("level", 0.95), "opened": result.get("opened", 0),
                "constant": _constant(result.get("baseline"), name)}
    best = next((row for row in reversed(facts.history) if row["best"]), None)
    name = main_measure(best["valid"]) if best else None
    if best is None or name is None:
        return None
    return {"part": "validation", "name": name, "number": value(name, best["valid"][name]), "low": None, "high": None,
            "n": facts.splits.get("valid"), "errors": None, "level": None, "opened": 0, "constant": None}


def _constant(baseline: Mapping[str, Any] | None, measure: str) -> dict[str, Any] | None:
    """What the constant answer scores by the headline's measure: its name, the number, and the ends of its interval."""
    if not baseline or measure not in baseline:
        return None
    found = baseline[measure]
    return {"name": baseline["name"], "number": value(measure, found["value"]), "low": found["low"], "high": found["high"]}


def detail(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A result arranged for tables: overall measures, a row per class or target, the confusion matrix tinted by share."""
    if not result:
        return None
    baseline = result.get("baseline") or {}
    overall = [(words(name), name, m, baseline.get(name)) for name, m in result["measures"].items() if not name.endswith("]")]
    each = [name.removesuffix("]").partition("[") for name in result["measures"] if name.endswith("]")]
    heads, rows = list(dict.fromkeys(h for h, _, _ in each)), list(dict.fromkeys(r for _, _, r in each))
    table = [(row, [(head, result["measures"].get(f"{head}[{row}]")) for head in heads]) for row in rows]
    confusion, classes = result.get("confusion"), list(result.get("classes", ()))
    return {"n": result["n"], "level": result.get("level", 0.95), "overall": overall,
            "constant": baseline.get("name"), "heads": heads, "rows": table[:MOST_CLASS_ROWS],
            "more_rows": max(0, len(table) - MOST_CLASS_ROWS), "notes": result.get("notes", ()), "classes": classes,
            "matrix": _tinted(confusion) if confusion and len(classes) <= MOST_CLASSES else None,
            "confusions": _confusions(confusion, classes) if confusion else [], "opened": result.get("opened", 0)}


def describe(chart: Chart) -> str:
    """What a chart shows, for those who do not see it."""
    scale = ", on a logarithmic scale" if chart.logarithmic else ""
    parts = " and ".join({"train": "training", "valid": "validation"}[line.part] for line in chart.lines)
    return f"{words(chart.measure)} by {chart.across}{scale}: {parts}"


def flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows (`a.b`, text); what is unset is left out."""
    rows = []
    for name, item in settings.items():
        if isinstance(item, Mapping):
            rows += flat(item, f"{above}{name}.")
        elif isinstance(item, list | tuple):
            rows.append((above + name, ", ".join(map(_text, item)) or "none"))
        elif item is not None:
            rows.append((above + name, _text(item)))
    return rows


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return f"{item:,}" if isinstance(item, int) else f"{item:g}" if isinstance(item, float) else str(item)


def _shape(shape: Sequence[int] | None) -> str:
    return "–" if shape is None else " × ".join(map(str, shape)) or "1"


def _totals(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row["times"] * row[name] for row in layers) for name in ("parameters", "multiply_adds")}


def _tinted(confusion: Sequence[Sequence[int]]) -> list[list[dict[str, Any]]]:
    """Cells with their count, share of the row, and strength of tint: the root of the share, so that rare mistakes show."""
    rows = []
    for i, counts in enumerate(confusion):
        total = sum(counts) or 1
        rows.append([{"count": n, "share": n / total, "tint": round(math.sqrt(n / total), 3), "right": i == j}
                     for j, n in enumerate(counts)])
    return rows


def _confusions(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent mistakes."""
    wrong: list[dict[str, Any]] = [{"true": classes[i], "said": classes[j], "count": n, "of": sum(row)}
             for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
    return sorted(wrong, key=lambda mistake: -mistake["count"])[:CONFUSIONS]


def _pictures(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Captions with data addresses; `small` ones are enlarged without smoothing."""
    drawn = []
    for caption, png in pictures:
        if not png.startswith(PNG) or len(png) < 24:
            raise InputError(f"The picture '{caption}' is not a PNG. Give the bytes of one, e.g. evaluate.plots.to_png(figure).")
        width = int.from_bytes(png[16:20])
        drawn.append({"caption": caption, "address": "data:image/png;base64," + base64.b64encode(png).decode(), "small": width < SMALL})
    return drawn
