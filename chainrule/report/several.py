"""Pages about what is more than one run: a sweep, the data that was checked, the rates that were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chainrule.core.flow import Flow
from chainrule.core.text import counted, shown
from chainrule.report.facts import Facts, Picture, Table
from chainrule.report.page import write

MOST_FLOWS, MOST_ROWS = 4, 30


def write_sweep(out: Path, title: str, path: str, rows: Sequence[Mapping[str, Any]], spread: Sequence[Mapping[str, Any]], *,
                histories: Mapping[str, Sequence[Mapping[str, Any]]], flows: Sequence[tuple[str, Mapping[str, Flow]]],
                versions: Mapping[str, str]) -> Path:
    """One self-contained HTML file about a sweep: its runs, best first, with means over repetitions, curves and layers on one scale.

    `rows` and `spread` are those that the sweep gives; `histories` are of runs that differ in their seed alone. Raises InputError where
    the file cannot be written.
    """
    keys = list(rows[0]["settings"])
    names = list(dict.fromkeys(name for row in rows for name in row["best"] if name != "epoch"))
    lines = [[*(str(row["settings"].get(key, "")) for key in keys),
              *(shown(row["best"][name]) if name in row["best"] else "–" for name in names),
              str(row["best"].get("epoch", "–")), row["ended"], row["run"]] for row in rows]
    tables = [Table("Runs, best first", [*keys, *names, "best epoch", "ended", "where"], lines,
                    "On the validation part, which chose the epoch of each; the best of many is a little flattered.")]
    if spread:
        tables.append(Table("Over repetitions", ["settings", "runs", *names], [
            [", ".join(f"{k}={v}" for k, v in group["settings"].items()) or "all", str(group["n"]),
             *(f"{shown(m['mean'])} ± {shown(m['sd'])}" if (m := group["measures"].get(name)) else "–" for name in names)]
            for group in spread], "Means and standard deviations of runs that differ in their seed, fold or sample alone."))
    best = ", ".join(f"{k}={v}" for k, v in rows[0]["settings"].items())
    return write(out, Facts(title=title, data={"folder": path}, verdicts=[f"Best on validation: {best}."], tables=tables,
                            histories=histories, flows=flows[:MOST_FLOWS], versions=versions,
                            next=(f"chainrule report {rows[0]['run']}", "look at the best of them")))


def write_check(out: Path, name: str, record: Mapping[str, Any], pictures: Sequence[Picture], versions: Mapping[str, str]) -> Path:
    """One self-contained HTML file about what was found in data, the gravest first. Raises InputError where it cannot be written."""
    rows = [[one["kind"], one["found"], one["evidence"], one["remedy"]] for one in record["findings"]]
    several = [Table("Findings", ["kind", "what", "evidence", "what to do"], rows, prose=True)] if rows else []
    for one in record["findings"]:
        if one.get("table"):
            lines = [[_cell(value) for value in row.values()] for row in one["table"][:MOST_ROWS]]
            title = f"{one['kind']}: {one['found']}"
            several.append(Table(title, list(one["table"][0]), lines, "Rows are counted from 1, below any header."))
    if record.get("skipped"):
        several.append(Table("Not looked for", ["what, and why"], [[text] for text in record["skipped"]]))
    n = len(record["findings"])
    verdict = f"{counted(n, 'finding')} in {record['rows']:,} rows." if n else f"Nothing was found in {record['rows']:,} rows."
    return write(out, Facts(title=f"A look at {name}", verdicts=[verdict], warnings=list(record.get("notes", ())), tables=several,
                            pictures=pictures, versions=versions))


def write_rates(out: Path, record: Mapping[str, Any], pictures: Sequence[Picture], versions: Mapping[str, str]) -> Path:
    """One self-contained HTML file about a range test of rates. Raises InputError where it cannot be written."""
    end = f"It rises after {record['edge']:.2g}." if record["diverged"] else "It never rose for good."
    rows = [[f"{rate:.3g}", shown(loss), shown(smooth)] for rate, loss, smooth in zip(record["rates"], record["losses"], record["smoothed"],
                                                                                      strict=True)]
    every = max(1, len(rows) // 20)
    return write(out, Facts(title="Rates tried", verdicts=[f"The loss falls fastest at a rate of {record['steepest']:.2g}. {end}"],
                            next=(f"chainrule train --optimizer {record['optimizer']}", "train with the rate that is suggested"),
                            pictures=pictures, versions=versions,
                            tables=[Table("Losses by rate", ["rate", "loss", "smoothed"], rows[::every])]))


def _cell(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        few = ", ".join(map(str, value[:20]))
        return few + (f" and {len(value) - 20} more" if len(value) > 20 else "")
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
