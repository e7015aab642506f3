"""The report: one self-contained HTML file, which loads nothing and can be read without a script."""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.files import write_atomically
from chainrule.core.text import duration, sentence
from chainrule.plots.figure import HEADER
from chainrule.report.charts import Axes, Chart, charts, over_runs
from chainrule.report.confusion import confusion
from chainrule.report.facts import Facts, Picture
from chainrule.report.flow import drawings, palette_address
from chainrule.report.net import drawing
from chainrule.report.verdict import headline
from chainrule.report.words import flat, shape, start, value, words

PNG = b"\x89PNG\r\n\x1a\n"
SVG = HEADER.encode()
MOST_CLASS_ROWS = 50
PARTS = "parts"      # the folder of templates, style and script


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
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                              loader=FunctionLoader(part))
    environment.filters |= {"value": value, "words": words, "duration": duration, "sentence": sentence, "shape": shape, "start": start}
    script = part("report.js")
    return environment.get_template("report.html.j2").render(
        facts=facts, style=part("report.css"), script=script, allowed=fingerprint(script), headline=headline(facts),
        charts=_noted(charts(facts.history, facts.losses, facts.splits.get("valid")), facts.settings.get("loss")),
        over=over_runs(list(facts.histories.values())),
        describe=describe, outcome=detail(facts.test or facts.valid), settings=flat(facts.settings), data=flat(facts.data),
        flows=drawings(facts.flows), scale=palette_address(), mistakes=[(pictured(w.png), w.lines) for w in facts.mistakes],
        weights=_pictures(facts.weights), pictures=_pictures(facts.pictures), samples=_pictures(facts.samples),
        sections=_sections(facts), command=f"chainrule repeat {shlex.quote(facts.run)}" if facts.run else "",
        totals=_totals(facts.layers), joined=_joined(facts.layers), net=drawing(facts.graph),
        widest=max((row["parameters"] * row["times"] for row in facts.layers), default=0) or 1)


def part(name: str) -> str:
    """A template, the style or the script, as text."""
    return resources.files(__package__).joinpath(PARTS, name).read_text(encoding="utf-8")


def fingerprint(script: str) -> str:
    """How a page's policy names the one script that may run: `sha256-...` of exactly its text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def detail(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A result arranged for tables: overall measures, a row per class or target, the confusion matrix."""
    if not result:
        return None
    baseline = result.get("baseline") or {}
    overall = [(words(name), name, m, baseline.get(name)) for name, m in result["measures"].items() if not name.endswith("]")]
    each = [name.removesuffix("]").partition("[") for name in result["measures"] if name.endswith("]")]
    heads, rows = list(dict.fromkeys(h for h, _, _ in each)), list(dict.fromkeys(r for _, _, r in each))
    table = [(row, [(head, result["measures"].get(f"{head}[{row}]")) for head in heads]) for row in rows]
    classes = list(result.get("classes", ()))
    return {"n": result["n"], "level": result.get("level", 0.95), "overall": overall,
            "constant": baseline.get("name"), "heads": heads, "rows": table[:MOST_CLASS_ROWS],
            "more_rows": max(0, len(table) - MOST_CLASS_ROWS), "notes": result.get("notes", ()), "classes": classes,
            "confusion": confusion(result.get("confusion"), classes), "opened": result.get("opened", 0)}


def describe(chart: Chart, axes: Axes) -> str:
    """What a chart shows, for those who do not see it."""
    scale = ", on a logarithmic scale" if axes.logarithmic else ""
    parts = " and ".join({"train": "training", "valid": "validation"}[line.part] for line in axes.lines)
    return f"{words(chart.measure)} by {chart.across}{scale}: {parts}"


def _noted(several: Sequence[Chart], loss: Any) -> list[Chart]:
    """The charts, the one of the loss with what it is: it is no measure of the table of results, though its name may sound like one."""
    if not isinstance(loss, str):
        return list(several)
    half = ", half the squared distance" if loss.partition(":")[0] == "squared" else ""
    note = f"What training lowers: {loss}{half}, as the net reads targets; the measures below are in the units of the data."
    return [replace(chart, note=note) if chart.measure == "loss" else chart for chart in several]


def pictured(png: bytes | None) -> str | None:
    """The address of a small picture; None for none."""
    return None if png is None else "data:image/png;base64," + base64.b64encode(png).decode()


def _sections(facts: Facts) -> list[tuple[str, list[Any]]]:
    """Panels by the section they stand in, in order."""
    names = dict.fromkeys(panel.section for panel in facts.panels)
    return [(name, [panel for panel in facts.panels if panel.section == name]) for name in names]


def _joined(layers: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Of each layer whether it can read what the one before it gives: of the first, of branches and of parts beside one another no."""
    ends = [(None if row["input"] is None else math.prod(row["input"]), None if row["output"] is None else math.prod(row["output"]))
            for row in layers]
    return [i == 0 or (ends[i][0] is not None and ends[i][0] == ends[i - 1][1]) for i in range(len(layers))]


def _totals(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row["times"] * row[name] for row in layers) for name in ("parameters", "multiply_adds")}


def _pictures(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Captions with data addresses; `drawn` ones follow light and dark by themselves, a `sheet` of pixels is enlarged without smoothing."""
    ready = []
    for caption, content in pictures:
        drawn = content.startswith(SVG)
        if not drawn and (not content.startswith(PNG) or len(content) < 24):
            raise InputError(f"The picture '{caption}' is not a PNG. Give the bytes of one, e.g. evaluate.plots.to_png(figure).")
        kind = "svg+xml" if drawn else "png"
        ready.append({"caption": caption, "address": f"data:image/{kind};base64," + base64.b64encode(content).decode(),
                      "drawn": drawn,
                      "sheet": b"Software" not in content[:200]})
    return ready
