"""What is counted over runs: recall, precision, right cause first, each with its Wilson interval; steps until the alarm; remedies.

A faulty run counts where the fault did harm, by its score beside that of its twin under the same seed; a healthy one where it reached what
such a program reaches. The others are listed and judge nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from chainrule.evaluate.intervals import wilson
from chainrule.recipes.faults.history import Alarm, History, first_cause
from chainrule.recipes.faults.listed import PROGRAMS
from chainrule.recipes.faults.programs import RESTORED, Program
from chainrule.recipes.faults.runs import Outcome, Task

Alarms = Callable[[History], Sequence[Alarm]]


@dataclass(frozen=True)
class Share:
    """So many of so many, with the 95 % interval of the share."""

    k: int
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "none of 0"
        ends = wilson(self.k, self.n)
        return f"{100 * self.k / self.n:.1f} % ({self.k} of {self.n}; {100 * ends.low:.1f} to {100 * ends.high:.1f})"

    def reaches(self, share: float) -> bool:
        return bool(self.n) and self.k / self.n >= share


def ours(history: History) -> Sequence[Alarm]:
    return history.alarms


def means(alarm: Alarm | None, cause: Iterable[str]) -> bool:
    """Whether an alarm names the planted cause."""
    return alarm is not None and bool(set(alarm.codes) & set(cause))


@dataclass(frozen=True)
class Verified:
    """The runs that count: faulty ones with harm done, healthy ones that are; and the names of those that do not."""

    faulty: tuple[Outcome, ...]
    healthy: tuple[Outcome, ...]
    harmless: tuple[Task, ...]
    unhealthy: tuple[Task, ...]


def verified(outcomes: Mapping[Task, Outcome], tasks: Iterable[Task]) -> Verified:
    """Of these tasks, by the outcomes of them and of their twins."""
    faulty, healthy, harmless, unhealthy = list[Outcome](), list[Outcome](), list[Outcome](), list[Outcome]()
    for task in tasks:
        program, outcome = PROGRAMS[task.program], outcomes[task]
        if program.healthy:
            good = outcome.score >= program.reaches and not outcome.error
            (healthy if good else unhealthy).append(outcome)
        else:
            harmed = harm(program, outcome, outcomes[Task(program.twin, task.seed)])
            (faulty if harmed else harmless).append(outcome)
    return Verified(tuple(faulty), tuple(healthy), tuple(o.task for o in harmless), tuple(o.task for o in unhealthy))


def harm(program: Program, outcome: Outcome, twin: Outcome) -> bool:
    """Whether the fault cost more than a twentieth of what its healthy twin reached under the same seed, and the twin reached it."""
    well = twin.score >= PROGRAMS[program.twin].reaches and not twin.error
    return well and not outcome.error and outcome.score < RESTORED * twin.score


@dataclass(frozen=True)
class Judged:
    """What one set of rules came to on the verified runs."""

    recall: Share
    precision: Share
    right_first: Share
    false_alarms: Share
    steps: tuple[int, ...]

    def waited(self) -> str:
        """Steps until the planted cause was named: median and 95th percentile."""
        ordered = sorted(self.steps)
        return f"{median(ordered):.0f}, {ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}" if ordered else "–"


def judged(runs: Verified, alarms: Alarms) -> Judged:
    """`recall` is the share of faulty runs whose planted cause is among the alarms, `right_first` of those in which it is the first one;
    `precision` the share of first alarms, of all runs, that name a planted cause; `false_alarms` the share of healthy runs with one.
    """
    named_runs, first, steps = 0, 0, []
    for outcome in runs.faulty:
        cause, every = PROGRAMS[outcome.task.program].cause, alarms(outcome.history)
        named = [alarm.step for alarm in every if means(alarm, cause)]
        named_runs += bool(named)
        first += means(first_cause(every), cause)
        steps += [min(named)] if named else []
    alarmed = sum(first_cause(alarms(outcome.history)) is not None for outcome in runs.faulty)
    false = sum(first_cause(alarms(outcome.history)) is not None for outcome in runs.healthy)
    n = len(runs.faulty)
    return Judged(Share(named_runs, n), Share(first, alarmed + false), Share(first, n), Share(false, len(runs.healthy)), tuple(steps))


def remedied(task: Task, alarm: Alarm | None) -> Task | None:
    """The same program and seed with the options of the remedy; None where it prints no option, or is said in words."""
    if alarm is None or not alarm.options:
        return None
    return Task(task.program, task.seed, tuple(sorted((name.replace("-", "_"), value) for name, value in alarm.options.items())))


def restored(outcomes: Mapping[Task, Outcome], runs: Verified) -> tuple[Share, int]:
    """The share of remedies of first alarms, where they are options, that restore 95 % of the twin's score; how many are words alone."""
    worked = tried = words = 0
    for outcome in runs.faulty:
        alarm = first_cause(outcome.history.alarms)
        again = remedied(outcome.task, alarm)
        if again is None:
            words += alarm is not None
        elif again in outcomes:
            twin = outcomes[Task(PROGRAMS[outcome.task.program].twin, outcome.task.seed)]
            tried += 1
            worked += outcomes[again].score >= RESTORED * twin.score
    return Share(worked, tried), words
