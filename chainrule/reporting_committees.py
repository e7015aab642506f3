"""What a report shows of a committee: its result, how it stands against its members on the same cases, how it grew, who belongs to it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import chainrule
from chainrule.evaluate.intervals import Interval, wilson
from chainrule.evaluate.result import shown
from chainrule.evaluate.significance import probability

if TYPE_CHECKING:
    from chainrule.committees import Committee
    from chainrule.evaluate.significance import Pair
    from chainrule.sinks.report import Table
    from chainrule.standing import Standing


def write_committee_report(committee: Committee, out: Path) -> Path:
    """One self-contained HTML file, from the members' folders and the validation part; the test part stays shut."""
    from chainrule.evaluate import plots
    from chainrule.evaluate.plots_committee import growth
    from chainrule.reporting import worst_mistakes
    from chainrule.sinks.report import Facts, write
    from chainrule.standing import grown

    record, tested, job = committee.record, committee.tested, committee.job
    told = {"how": record["how"], "by": record["by"], "rule": record["rule"], "weights": record["weights"], "steps": record.get("steps"),
            "shrinkage": record.get("shrinkage")}
    scores, own = grown(committee, job.data.valid)
    standing, after, n = committee.standing(), committee.tested_standing, len(job.data.valid)
    counted = standing.measure == "errors"
    alone = () if record["how"] == "gradient" else [100 * s / n if counted else s for s in standing.scores]
    ends = [wilson(round(s / 100 * n), n) for s in scores[own]] if counted else []
    picture = growth(scores, own, alone=alone, intervals=[Interval(100 * e.low, 100 * e.high, e.level) for e in ends],
                     measure="errors, % of cases" if counted else "mean squared error")
    tables = [*([against(after, "test")] if after else []), against(standing, "validation")]
    data = {"name": record["data"]["name"], "n": record["data"]["n"], "inputs": record["data"]["inputs"],
            "classes": record["data"]["classes"]}
    return write(out, Facts(
        title=f"{record['net']} on {record['data']['name']}", run=str(committee.path), data=data, splits=record["data"]["splits"],
        settings={k: v for k, v in told.items() if v is not None}, valid=committee.valid.to_dict(),
        test=tested.to_dict() if tested else None, tables=[*tables, belonging(committee)], mistakes=worst_mistakes(committee),
        pictures=[(f"Errors on {n:,} validation cases as members join", plots.to_png(picture))],
        versions={"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()}))


def against(standing: Standing, part: str) -> Table:
    """The committee and each member on a part, best first, with intervals and paired tests."""
    from chainrule.sinks.report import Table

    counted, n = standing.measure == "errors", standing.n

    def cells(name: str, score: float, pair: Pair | None) -> list[str]:
        told = [shown(score)]
        if counted:
            ends = wilson(round(score), n)
            told = [f"{score:,.0f}", f"{shown(score / n, True)} %", f"{shown(ends.low, True)} to {shown(ends.high, True)} %"]
        if pair is None:
            return [name, *told, "", "", ""]
        d = pair.difference
        apart = f"{shown(d.value, counted)} ({shown(d.low, counted)} to {shown(d.high, counted)})" + (" %" if counted else "")
        return [name, *told, apart, probability(pair.p), probability(pair.p_corrected)]

    heads = ["net", "errors", "share", "95 % interval"] if counted else ["net", "mean squared error"]
    order = sorted(range(len(standing.names)), key=lambda i: standing.scores[i])
    rows = [cells(standing.names[i], standing.scores[i], standing.pairs[i]) for i in order]
    test = "exact McNemar" if counted else "paired bootstrap"
    return Table(f"Against its members, on {part}", [*heads, "committee less it", "p", "p corrected"],
                 [cells("committee", standing.score, None), *rows],
                 f"{n:,} {part} cases, the same for all; {test}, corrected (Holm) for {len(order)} comparisons. "
                 f"{standing.pairs[order[0]].verdict}")


def belonging(committee: Committee) -> Table:
    """Who belongs to it, and with what weight."""
    from chainrule.sinks.report import Table

    record = committee.record
    weights = record["weights"] or record.get("steps")
    head = [] if weights is None else ["vote" if record["weights"] else "step"]
    rows = [[run.name, run.record["net"], f"{run.record['parameters']:,}", *([] if weights is None else [f"{weights[i]:.3f}"]), place]
            for i, (run, place) in enumerate(zip(committee.members, committee.places, strict=True))]
    return Table("Members", ["net", "family", "parameters", *head, "where"], rows, "")
