"""The benchmark from programs to lines: which are run, what is counted, and what is missing from it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chainrule.bench.faults.rivals import RIVALS
from chainrule.bench.harness import aligned, verdict
from chainrule.core.errors import InputError
from chainrule.recipes.faults.history import Alarm, first_cause
from chainrule.recipes.faults.judging import Judged, Share, Verified, judged, ours, remedied, restored, verified
from chainrule.recipes.faults.listed import PROGRAMS, SHORT
from chainrule.recipes.faults.programs import HALVES_SEED, RESTORED, Program, find, half_of
from chainrule.recipes.faults.runs import Outcome, Task, outcomes

FOUND, PRECISE, RIGHT, WORKING = 0.95, 0.95, 0.9, 0.8      # what is asked for


def chosen(half: str, only: str = "", short: bool = False) -> list[Program]:
    """The programs that are judged. Raises InputError for a half or a name that is none."""
    if half not in ("tune", "report", "both"):
        raise InputError(f"--half is tune, report or both; got '{half}'.")
    if only or short:
        return [find(name.strip(), PROGRAMS) for name in (only.split(",") if only else SHORT)]
    halves = half_of(PROGRAMS.values())
    return [program for name, program in PROGRAMS.items() if program.judged and half in ("both", halves[name])]


def benchmark(half: str, seeds: Iterable[int], *, folder: Path, only: str = "", short: bool = False, remedies: bool = True,
              processes: int = 1) -> list[str]:
    """Run what is not there yet, and the lines that say what came of it."""
    programs, seeds = chosen(half, only, short), list(seeds)
    tasks = [Task(program.name, seed) for program in programs for seed in seeds]
    twins = [Task(program.twin, seed) for program in programs if program.twin for seed in seeds]
    known = outcomes([*tasks, *twins], folder, processes)
    runs = verified(known, tasks)
    if remedies:
        again = [task for outcome in runs.faulty if (task := remedied(outcome.task, first_cause(outcome.history.alarms))) is not None]
        known = {**known, **outcomes(again, folder, processes)}
    named = "named programs" if only else "the short form" if short else "both halves" if half == "both" else f"the {half} half"
    return [f"{named} (seed {HALVES_SEED}), seeds {', '.join(map(str, seeds))}; {len(programs)} programs, "
            f"{sum(not p.healthy for p in programs)} of them faulty, {sum(p.hard for p in programs)} hard negatives", "",
            *lines_of(runs, known, remedies)]


def lines_of(runs: Verified, known: Mapping[Task, Outcome], remedies: bool) -> list[str]:
    """The tables."""
    results = {"chainrule doctor": judged(runs, ours), **{name: judged(runs, rules) for name, rules in RIVALS.items()}}
    rows = [["", "recall", "precision of the first alarm", "right cause first", "false alarms", "steps: median, p95"],
            *([name, str(one.recall), str(one.precision), str(one.right_first), str(one.false_alarms), one.waited()]
              for name, one in results.items())]
    doctor = results["chainrule doctor"]
    lines = [f"{len(runs.faulty)} faulty runs did harm (below {100 * RESTORED:.0f} % of the twin's score), {len(runs.healthy)} healthy "
             "runs were healthy", *unverified(runs), "", *aligned(rows), "", *targets(doctor)]
    if remedies:
        share, words = restored(known, runs)
        lines.append(f"remedies that restore {100 * RESTORED:.0f} % of the twin: {share}, further {words} are words without options; "
                     f"{verdict(share.reaches(WORKING), f'{100 * WORKING:.0f} %')}")
    return [*lines, "", *by_cause(runs), "", "not named first, or alarmed without a fault (planted, score; * the first cause):",
            *missed(runs, known), "",
            "harm, the lowest score of the seeds and of the twin:", *harms(runs, known)]


def targets(doctor: Judged) -> list[str]:
    asked: list[tuple[str, Share, float]] = [("recall", doctor.recall, FOUND), ("precision", doctor.precision, PRECISE),
                                             ("right cause first", doctor.right_first, RIGHT)]
    return [f"{name} {share}; {verdict(share.reaches(least), f'{100 * least:.0f} %')}" for name, share, least in asked]


def unverified(runs: Verified) -> list[str]:
    """The runs that judge nobody, by name."""
    lines = []
    for tasks, what in ((runs.harmless, "did no harm"), (runs.unhealthy, "did not reach what they should")):
        counts = Counter(task.program for task in tasks)
        if counts:
            lines.append(f"left out, since they {what}: " + ", ".join(f"{name} ({k})" if k > 1 else name for name, k in counts.items()))
    return lines


def by_cause(runs: Verified) -> list[str]:
    """Of each planted diagnosis how often it was found, and named first."""
    rows = [["planted", "runs", "found", "first"]]
    for code in sorted({PROGRAMS[o.task.program].cause[0] for o in runs.faulty}):
        some = Verified(tuple(o for o in runs.faulty if PROGRAMS[o.task.program].cause[0] == code), (), (), ())
        one = judged(some, ours)
        rows.append([code, str(one.recall.n), str(one.recall.k), str(one.right_first.k)])
    return aligned(rows)


def missed(runs: Verified, known: Mapping[Task, Outcome]) -> list[str]:
    """What the doctor did not name first, what it said instead, and its false alarms."""
    lines: list[str] = []
    for outcome in (*runs.faulty, *runs.healthy):
        program, alarms = PROGRAMS[outcome.task.program], outcome.history.alarms
        cause = first_cause(alarms)
        right = cause is None if program.healthy else cause is not None and bool(set(cause.codes) & set(program.cause))
        if not right:
            planted = ", ".join(program.cause) or "healthy"
            lines.append(f"{outcome.task.program} {outcome.task.seed} ({planted}, {compared(outcome, known)}): {in_short(alarms)}")
    return lines


def harms(runs: Verified, known: Mapping[Task, Outcome]) -> list[str]:
    """What every fault that counts cost, in running text."""
    lowest: dict[str, tuple[float, float]] = {}
    for outcome in runs.faulty:
        name, twin = outcome.task.program, known[Task(PROGRAMS[outcome.task.program].twin, outcome.task.seed)]
        one = (outcome.score, twin.score)
        lowest[name] = min(lowest.get(name, one), one)
    return textwrap.wrap("; ".join(f"{name} {score:.2f} of {twin:.2f}" for name, (score, twin) in lowest.items()), 140)


def compared(outcome: Outcome, known: Mapping[Task, Outcome]) -> str:
    """The score, and of a faulty run that of the twin."""
    twin = known.get(Task(PROGRAMS[outcome.task.program].twin, outcome.task.seed))
    return f"{outcome.score:.2f}" + (f" of {twin.score:.2f}" if twin is not None else "")


def in_short(alarms: Sequence[Alarm]) -> str:
    """The codes with their steps, the first cause marked."""
    return ", ".join(f"{a.codes[0]}{'*' if a.first else ''} at {a.step}" for a in alarms) or "nothing"
