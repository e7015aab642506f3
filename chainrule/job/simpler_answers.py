"""Simpler answers beside a net's: the constant one and a linear model, compared on the same cases where the task can say how."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor

from chainrule.core.abilities.tasks import AnswersConstantly, Decides
from chainrule.core.errors import InputError
from chainrule.data.source import Part
from chainrule.evaluate.advantage import Advantage, advantage
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.linear import NAME, Linear
from chainrule.job.trained import Trained

MOST_CASES = 5000       # whose costs are compared


def with_simpler(trained: Trained, linear: Linear | None, part: Part, answers: Tensor, result: Result, rows: str) -> Result:
    """The result of a net on a part beside simpler ones: what a linear model scores, and by how much the net is better, case by case.

    `answers` are the net's to the first rows of the part, on which they are compared; `rows` names these rows.
    """
    if linear is not None:
        result = replace(result, linear=linear.baseline(trained, part))
    some = part if len(answers) == len(part) else part.rows_at(0, len(answers))
    ours = trained.outcomes(some, rows, answers)
    against: list[Advantage] = []
    if ours is not None and linear is not None:
        against += _compared(NAME, ours, _plain(trained, some, linear.answer(trained, some.x), rows))
    task = trained.task
    if ours is not None and trained.constant is not None and result.baseline is not None and isinstance(task, AnswersConstantly):
        constant = task.constantly(trained.constant, some, trained.ready)
        against += _compared(result.baseline.name, ours, _plain(trained, some, constant, rows))
    return replace(result, against=tuple(against))


def _plain(trained: Trained, part: Part, answers: Tensor, rows: str) -> Cases | None:
    """What each case contributes of answers that no threshold chosen for the net decides."""
    task = copy.copy(trained.task)
    if isinstance(task, Decides):
        task.threshold = None
    return task.outcomes(trained.inference, part, answers, rows)


def _compared(name: str, ours: Cases, theirs: Cases | None) -> list[Advantage]:
    """The comparison, nothing where cases do not allow one."""
    try:
        return [] if theirs is None else [advantage(name, _few(ours), _few(theirs))]
    except InputError:
        return []


def _few(cases: Cases) -> Cases:
    """Of costs, whose signs are turned thousands of times, the first ones."""
    if cases.costs is None:
        return cases
    return replace(cases, rows=cases.rows[:MOST_CASES], costs=cases.costs[:MOST_CASES])
