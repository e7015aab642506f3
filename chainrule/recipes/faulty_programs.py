"""The clear ones of the programs of `bench faults`: how many planted faults the doctor names, and which programs it leaves alone."""

from __future__ import annotations

from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import wilson
from chainrule.recipes.faults.history import first_cause
from chainrule.recipes.faults.judging import Share, judged, ours, verified
from chainrule.recipes.faults.listed import PROGRAMS, SHORT
from chainrule.recipes.faults.runs import Outcome as Ended
from chainrule.recipes.faults.runs import Task, execute
from chainrule.recipes.outcome import Figure, Outcome, Setting

EVERY = 3                  # of the programs that its short form runs
NAMED, RIGHT, SILENT = 0.9, 0.9, 0.95


@recipes("faulty-programs", source="asked of the library")
def faulty_programs(setting: Setting) -> Outcome:
    """The share of planted faults that are named at all, and named first, and of healthy programs without an alarm."""
    names, seeds = (SHORT[::EVERY], range(1)) if setting.short else (SHORT, range(setting.seeds))
    tasks = [Task(name, seed) for name in names for seed in seeds]
    twins = [Task(PROGRAMS[name].twin, seed) for name in names if PROGRAMS[name].twin for seed in seeds]
    known = {}
    for task in dict.fromkeys([*tasks, *twins]):
        setting.say(f"{task.program} {task.seed}")
        known[task] = execute(task)
    runs = verified(known, tasks)
    one = judged(runs, ours)
    left_out = [task.program for task in (*runs.harmless, *runs.unhealthy)]
    silent = Share(one.false_alarms.n - one.false_alarms.k, one.false_alarms.n)
    heading = ["program", "seed", "planted", "score", "first cause", "at step"]
    notes = ["Of all programs, half of which chose the thresholds, and beside other rule sets: python -m chainrule.bench faults."]
    return Outcome([_figure("share of planted faults that the doctor names", one.recall, NAMED),
                    _figure("share of planted faults named as first cause", one.right_first, RIGHT),
                    _figure("share of healthy programs without an alarm", silent, SILENT)],
                   [heading, *(_row(known[task]) for task in tasks)],
                   [*notes, *([f"Left out, since they did no harm or did not learn: {', '.join(left_out)}."] if left_out else [])])


def _figure(what: str, share: Share, least: float) -> Figure:
    ends = wilson(share.k, share.n)
    return Figure(what, share.k / share.n, ends.low, ends.high, least, "asked of the library", "at least")


def _row(ended: Ended) -> list[str]:
    program, cause = PROGRAMS[ended.task.program], first_cause(ended.history.alarms)
    return [program.name, str(ended.task.seed), ", ".join(program.cause) or "nothing", f"{ended.score:.2f}",
            "nothing" if cause is None else f"{cause.codes[0]} {cause.name}", "" if cause is None else str(cause.step)]
