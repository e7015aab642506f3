"""`chainrule canon`: the scoreboard of all systems, whose recipes are imported only when it is asked for."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say, to_stderr
from chainrule.cli.signals import free_beside
from chainrule.core.files import folder_for
from chainrule.core.options import check, option, same
from chainrule.workflows.options import Dataset, Experiment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chainrule.workflows.canon import Standing

PAGE = "canon.html"
RECORDED = ("row", "system", "figure", "published", "ours", "95 % interval", "verdict", "form, date")


@dataclass(frozen=True)
class Chosen:
    """Which rows, in which form, and where what is made goes."""

    rows: list[str] | None = option(None, "Rows such as A6, or a letter for all of its rows; all where left out.", positional=True,
                                    metavar="[ROW...]")
    short: bool = option(False, "Seconds each: exact checks whole, trainings cut short and not judged.")
    out: Path | None = option(None, "Where the page, runs and pictures go; otherwise a new folder recipes/canon-N.")
    record: Path | None = option(None, "A Markdown file whose table of the canon is brought up to date.")
    data_dir: Path | None = same(Dataset, "data_dir")


@command()
def canon(chosen: Chosen, experiment: Experiment, printing: Printing) -> None:
    """Measure every system of the canon beside its published figure. Example: chainrule canon A6 B --short"""
    from chainrule.core.registry import recipes
    from chainrule.recipes.canon import ROWS
    from chainrule.recipes.outcome import Setting, run
    from chainrule.workflows import canon as scoreboard

    check(experiment)
    wanted = scoreboard.chosen(ROWS, chosen.rows or [])
    folder = free_beside(Path("recipes") / "canon") if chosen.out is None else folder_for(chosen.out)

    def attempt(name: str) -> dict[str, object]:
        return run(name, Setting(folder / name, experiment.seeds, chosen.short, chosen.data_dir, to_stderr)).to_json()

    standings = scoreboard.score(wanted, recipes.names(), attempt, to_stderr)
    say("\n".join(scoreboard.lines(standings)))
    if chosen.short:
        say("Trainings were cut short and are not judged.")
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Page: {_page(folder / PAGE, standings, chosen.short)}")
    if chosen.record is not None:
        _record(chosen.record, standings, chosen.short)
    if printing.as_json:
        print_json({"short": chosen.short, "out": str(folder / PAGE), "rows": [standing.to_json() for standing in standings]})


def _page(path: Path, standings: Sequence[Standing], short: bool) -> Path:
    import torch

    import chainrule
    from chainrule.report.canon import write_scoreboard
    from chainrule.workflows import canon as scoreboard

    details, pictures = {}, []
    for standing in standings:
        for one in standing.scores:
            if figures := one.outcome.get("figures", ()):
                details[f"{standing.row.name} {standing.row.system}: {one.check.recipe}"] = [
                    [f["what"], scoreboard.number(f["published"]["value"]), scoreboard.number(f["ours"]["value"]),
                     scoreboard.ends(f["ours"]["interval"]), f["published"]["source"]] for f in figures]
            pictures += [(f"{standing.row.name} {one.check.recipe}", Path(p).read_bytes()) for p in one.outcome.get("pictures", ())]
    reasons = [f"{one.check.recipe}: {one.reason}" for s in standings for one in s.scores if one.reason]
    form = ["Trainings were cut short and are not judged."] if short else []
    rows = [[s.row.name, s.row.system, *scoreboard_cells[1:]] for s in standings for scoreboard_cells in scoreboard.cells([s])]
    return write_scoreboard(path, "The canon", (scoreboard.HEADS[0], "system", *scoreboard.HEADS[1:]), rows, details, pictures,
                            [scoreboard.summary(standings) + ".", *form, *reasons],
                            {"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()})


def _record(path: Path, standings: Sequence[Standing], short: bool) -> None:
    from chainrule.bench.harness import machine
    from chainrule.report.canon import record
    from chainrule.workflows.canon import ends, number

    form = f"{'short' if short else 'full'}, {time.strftime('%Y-%m-%d')}"
    rows = {}
    for standing in standings:
        head = standing.headline
        what = str(head.headline.get("what", head.check.what))
        rows[standing.row.name] = [standing.row.name, standing.row.system, what, number(head.published), head.measured,
                                   ends(head.interval), standing.words, form]
    count = record(path, RECORDED, rows, "Measured last on: " + "; ".join(machine()))
    say(f"{len(rows)} of {count} rows recorded in {path}.")
