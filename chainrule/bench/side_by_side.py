"""Side by side: each work in ours and in whichever peers are installed, in turns; ratios with their spread, losses beside the times."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from chainrule.bench import race
from chainrule.bench.harness import FEWEST_REPEATS, RESULTS, Spread, aligned, features, machine, marked, tell, verdict
from chainrule.bench.race import Outcome, Racer
from chainrule.bench.sides import OURS, SIDES, installed
from chainrule.bench.works import MEMBERS, WORKS, Work, find
from chainrule.core.errors import InputError, suggest
from chainrule.core.text import counted

QUICK_REPEATS = 2
MOST_COST = 3.0  # of 16 members, in runs of one
BLOCK = "beside"  # where docs/results.md keeps the figures


def chosen_works(names: str) -> list[Work]:
    """Works by comma-separated names, or all. Raises InputError that offers the nearest."""
    return list(WORKS.values()) if names == "all" else [find(name.strip()) for name in names.split(",")]


def chosen_sides(names: str) -> list[str]:
    """Peers by comma-separated names, or all. Raises InputError that offers the nearest."""
    peers = [name for name in SIDES if name != OURS]
    if names == "all":
        return peers
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in peers:
            raise InputError(f"There is no side called '{name}'. {suggest(name, peers)}")
    return wanted


def hindrance(work: Work) -> str:
    """Why a work cannot be raced here, in a sentence; empty where it can."""
    if work.cuda and not torch.cuda.is_available():
        return "skipped: there is no CUDA on this machine"
    if work.kind == "members" and find_spec("chainrule.engine.members.grouping") is None:
        return "skipped: this version of chainrule does not train members"
    return ""


def rows_of(outcome: Outcome) -> list[list[str]]:
    """One line a side: seconds, loss, share of right answers, how many times ours it took, and remarks."""
    lines = []
    for racer in outcome.racers:
        if racer.failed:
            lines.append([racer.label, "failed", "", "", "", racer.failed])
            continue
        over = outcome.against(racer) if racer is not outcome.ours else None
        remarks = [racer.remark, outcome.work.notes.get(racer.name, ""), "" if racer.alike else "batches of its own",
                   "LEARNS DIFFERENTLY" if outcome.astray(racer) else ""]
        if racer.reckoned:
            remarks.append(f"{racer.units} of {racer.whole} {_units(outcome.work)} timed")
        lines.append([racer.label, ("~" if racer.reckoned and _whole(outcome.work) else "") + racer.spread.shown(),
                      "" if racer.loss is None else f"{racer.loss:.4f}", "" if racer.right is None else f"{100 * racer.right:.1f}",
                      "" if over is None else over.shown(".2f"), "; ".join(filter(None, remarks))])
    return lines


def _whole(work: Work) -> bool:
    return work.whole or work.kind == "predict"


def _units(work: Work) -> str:
    return "thousand rows" if work.kind == "predict" else "epochs"


def block(outcome: Outcome) -> list[str]:
    """The lines of one work."""
    per = "s" if _whole(outcome.work) else "s an epoch"
    head = ["", f"{per}, median (least to most)", "loss", "right %", "it / ours", ""]
    learned = f"; loss after {outcome.work.learned} epochs of the same batches from the same start" if outcome.work.learned else ""
    text = [f"{_named(outcome)}: {outcome.work.title}{learned}", *_left([head, *rows_of(outcome)])]
    return [*text, *extra(outcome)]


def _named(outcome: Outcome) -> str:
    """The work, and how many threads every side might use."""
    return outcome.work.name + (f", {counted(outcome.threads, 'thread')}" if outcome.threads else "")


def extra(outcome: Outcome) -> list[str]:
    """What the works that have no peers ask for: the cost of members, the cost of more rows."""
    work, racers = outcome.work, [r for r in outcome.racers if r.seconds]
    if work.kind == "members" and len(racers) == 2:
        cost = Spread.of([b / a for a, b in zip(racers[0].seconds, racers[1].seconds, strict=True)])
        return [f"{MEMBERS} cost {cost.shown('.2f')} of one; {verdict(cost.middle <= MOST_COST, f'at most {MOST_COST:g}')}"]
    if work.kind == "scaling" and len(racers) == len(work.variants):
        each = [[s / int(r.variant[:-1]) for s in r.seconds] for r in racers]
        parts = [f"{r.variant} {Spread.of(e).shown('.3f', 1e6 / work.rows)}" for r, e in zip(racers, each, strict=True)]
        grown = Spread.of([b / a for a, b in zip(each[0], each[-1], strict=True)])
        return [f"us a row: {', '.join(parts)}; a row of the largest costs {grown.shown('.2f')} of one of the smallest"]
    return []


def _left(rows: list[list[str]]) -> list[str]:
    """Aligned, the remarks in the last column flush left."""
    return [f"{line}  {row[-1]}".rstrip() for line, row in zip(aligned([row[:-1] for row in rows]), rows, strict=True)]


def summary(outcomes: list[Outcome]) -> list[list[str]]:
    """The table that the targets are written in: our time, the fastest peer, the bare loop, each with its ratio and what was asked."""
    rows = [["work", "seconds, ours", "fastest peer", "it / ours", "asked", "", "torch eager / ours", "asked", ""]]
    for outcome in outcomes:
        work = outcome.work
        for ours in [r for r in outcome.racers if r.name == OURS and work.kind in ("train", "rbm", "predict")]:
            fastest, eager = outcome.fastest, outcome.eager
            name = f"{_named(outcome)}, {ours.variant}" if ours.variant else _named(outcome)
            rows.append([name, ours.spread.shown(".3g") if ours.seconds else "failed", fastest.name if fastest else "none",
                         *_cells(outcome, fastest, ours, work.faster), *_cells(outcome, eager, ours, work.eager)])
    return rows


def _cells(outcome: Outcome, peer: Racer | None, ours: Racer, asked: float | None) -> list[str]:
    over = None if peer is None else outcome.against(peer, ours)
    if over is None:
        return ["", "" if asked is None else f"{asked:g}", ""]
    return [over.shown(".2f"), "" if asked is None else f"{asked:g}",
            "" if asked is None else "reached" if over.middle >= asked else "MISSED"]


def records(outcome: Outcome) -> list[dict[str, Any]]:
    """One record for each of our variants against each peer, or against our first variant where a work has no peers.

    Seconds are medians, `ratio` is the peer's over ours, by rounds.
    """
    rows = []
    for ours in [r for r in outcome.racers if r.name == OURS]:
        for peer in outcome.peers if outcome.work.sides else [outcome.ours]:
            over = None if peer is ours else outcome.against(peer, ours)
            if over is not None:
                rows.append({"work": outcome.work.name, "threads": outcome.threads, "variant": ours.variant,
                             "ours": ours.spread.middle, "peer": peer.spread.middle,
                             "peer_name": peer.label, "ratio": over.middle, "ratio_low": over.low, "ratio_high": over.high,
                             "loss": ours.loss, "peer_loss": peer.loss, "astray": outcome.astray(peer), "peer_reckoned": peer.reckoned})
    return rows


def race_all(name: str, *, repeats: int, quick: bool, only: str, as_json: bool, record: bool) -> None:
    """Race the works of this name, print the tables, keep them where asked. Raises InputError for names and numbers that do not fit."""
    works, peers = chosen_works(name), chosen_sides(only)
    if not quick and repeats < FEWEST_REPEATS:
        raise InputError(f"--repeats must be at least {FEWEST_REPEATS} for a median and a spread; got {repeats}. --quick takes fewer.")
    if record and quick:
        raise InputError("--quick shows that the works run, not how fast; its figures are not kept. Leave out --quick or --record.")
    if record:
        marked(RESULTS, BLOCK)
    there, absent = installed(peers)
    lines = [f"{repeats if not quick else QUICK_REPEATS} rounds in turns, a process for each side; "
             f"loss and right answers on rows held out, by one function for all; processor: {features()}"]
    versions = list(dict.fromkeys(v for side in there for v in SIDES[side].versions))
    lines += [", ".join(versions)] if versions else []
    if absent:
        lines.append(f"not installed, so not raced: {', '.join(absent)} (pip install -r bench/requirements.txt -c constraints.txt)")
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        for work in works:
            lines.append("")
            reason = hindrance(work)
            if reason:
                lines.append(f"{work.name}: {reason}")
                continue
            short = work.shortened() if quick else work
            for threads in [0] if quick or work.cuda else sorted({1, len(os.sched_getaffinity(0))}):
                outcome = race.run(short, [side for side in work.sides if side in there], absent, threads=threads, quick=quick,
                                   repeats=QUICK_REPEATS if quick else repeats, home=Path(home),
                                   say=lambda line: print(line, file=sys.stderr, flush=True))
                outcomes.append(outcome)
                lines += block(outcome)
                print("\n".join(block(outcome)), file=sys.stderr, flush=True)
    table = summary(outcomes)
    if len(table) > 1:
        lines += ["", *aligned(table), "the fastest peer is sought among the others than the bare loop, which has columns of its own"]
    tell(BLOCK, lines, record)
    if as_json:
        print(json.dumps({"machine": machine(), "rows": [r for outcome in outcomes for r in records(outcome)],
                          "failed": {f"{o.work.name}: {r.label}": r.failed for o in outcomes for r in o.racers if r.failed},
                          "absent": absent}))
