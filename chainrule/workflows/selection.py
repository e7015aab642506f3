"""The net of a small table, chosen by cross-validation before the run, where the user leaves it open; what was compared is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import Finished
from chainrule.core.text import shown
from chainrule.data.source import Source
from chainrule.engine.stop import Stop
from chainrule.job.build import build
from chainrule.job.candidates import CANDIDATES, FOLDS, Candidate, left_open
from chainrule.job.options import Options
from chainrule.job.own import Own

MEASURE = "loss"  # by which candidates are compared: it says more of few rows than the share of right answers does


def ignored(_: str) -> None:
    """Says nothing."""


def selected(source: Source, asked: Options, own: Own, stop: Stop | None, say: Callable[[str], None] = ignored
             ) -> tuple[Options, dict[str, Any] | None]:
    """The options with the best candidate in them, and what was compared; as they are, and None, where there is nothing to choose.

    Every candidate is trained as the run will be, on the same folds of the rows that are not test; `say` is told of it. Raises Interrupted.
    """
    if not left_open(source, asked, own):
        return asked, None
    losses: dict[Candidate, float] = {}
    rows = 0
    for candidate in CANDIDATES:
        job = build(source, candidate.over(asked), own)
        if candidate is CANDIDATES[0]:  # the table can be learned from
            say(f"Choosing among {len(CANDIDATES)} nets for a table by {FOLDS} folds, some seconds; name a --net to leave that out.")
        rows = len(job.data.valid)
        for event in job.events(stop=stop):
            if isinstance(event, Finished) and event.reason != "diverged" and MEASURE in event.best:
                losses[candidate] = event.best[MEASURE]
        if stop is not None and stop.requested:
            raise Interrupted("Interrupted while the net was being chosen; nothing was saved.", stop.requested)
    if not losses:
        raise InputError(f"no candidate could be trained on {source.name}: every loss stopped being finite. Name a net with --net.")
    best = min(losses, key=losses.__getitem__)
    return best.over(asked), {"chosen": best.name, "folds": FOLDS, "rows": rows, "measure": f"validation {MEASURE}",
                              "candidates": [{**asdict(one), MEASURE: loss} for one, loss in losses.items()]}


def sentence(selection: dict[str, Any] | None) -> list[str]:
    """What is said of it before training: one sentence, or none."""
    if selection is None:
        return []
    others = ", ".join(f"{one['name']} {shown(one[MEASURE])}" for one in selection["candidates"] if one["name"] != selection["chosen"])
    own = next(one[MEASURE] for one in selection["candidates"] if one["name"] == selection["chosen"])
    return [f"Chosen by {selection['folds']} folds of the {selection['rows']:,} rows that are not test: an ensemble, {selection['chosen']} "
            f"(validation loss {shown(own)}; {others}). Name a --net to choose it yourself."]
