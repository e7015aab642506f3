"""What the best net answers to the validation part when training has ended, beside a constant answer: for the doctor, as plain numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.tasks import Decides
from chainrule.core.text import counted, shown
from chainrule.data.class_weights import class_weights
from chainrule.evaluate.significance import Cases, Comparison, compare
from chainrule.job.job import Job
from chainrule.runs.validation import Validation
from chainrule.tasks.classification import Classification
from chainrule.tasks.regression import Regression

MOST_CLASSES = 1000
WEIGHTED = "class-weighted error"


def judged(job: Job, validation: Validation) -> dict[str, Any] | None:
    """The answers of the event `Judged`; None where no constant answer is compared with, or no rows validate.

    Where training weighs classes, errors count what their class does: a net that is to find rare rows takes more of the others for them,
    and plain errors would hold against it what it was asked to do.
    """
    task, constant = job.task, job.trained.constant
    if not isinstance(task, Classification | Regression) or constant is None or validation.truth is None or not len(validation.answers):
        return None
    part = job.data.valid.rows_at(0, len(validation.answers))
    weights = _weights(job)
    constant = constant if weights is None else constant.double().cpu() * weights
    name = task.baseline(constant, part, job.trained.ready, seed=0).name
    row = constant.double() / constant.sum() if isinstance(task, Classification) else constant
    answers = (validation.answers, row.expand(len(part), -1))
    cases = [case for answer in answers if (case := job.trained.outcomes(part, "valid", answer)) is not None]
    if weights is not None:
        cases = [_weighed(case, weights[validation.truth.long().cpu()]) for case in cases]
    comparison = compare(("the net", name), cases)
    ends = comparison.pairs[0].difference
    beside = {"n": comparison.n, "constant": name, "measure": comparison.measure, "score": comparison.scores[0],
              "constant_score": comparison.scores[1], "low": ends.low, "high": ends.high,
              "sentence": f"{_scores(comparison)} on {comparison.n:,} validation cases (95 % interval of the difference "
              f"{_ends(comparison)})"}
    return {**beside, **_by_class(job, validation)}


def _weights(job: Job) -> Tensor | None:
    """What each class counts in training, (classes,); None where all rows count alike."""
    task, spec = job.task, job.options.class_weights
    if not spec or not isinstance(task, Classification):
        return None
    return class_weights(spec, task.classes, task.truth(job.data.train, job.trained.ready).cpu())


def _weighed(case: Cases, weights: Tensor) -> Cases:
    """The cases (n,) with errors that cost `weights` (n,), 1 on average."""
    assert case.right is not None
    return replace(case, right=None, costs=weights / weights.mean().clamp(min=1e-300) * ~case.right.cpu(), measure=WEIGHTED)


def _by_class(job: Job, validation: Validation) -> dict[str, Any]:
    """How many validation rows each class has, which share of them is recognised, and which share of all is taken for it."""
    task, truth = job.task, validation.truth
    if not isinstance(task, Classification) or truth is None or truth.dim() != 1 or len(task.classes) > MOST_CLASSES:
        return {}
    classes, truth = task.classes, truth.long()
    decided = (task.decided(validation.answers) if isinstance(task, Decides) else validation.answers.argmax(1)).long()
    counts, answered = (torch.bincount(t, minlength=len(classes)).double() for t in (truth, decided))
    right = torch.bincount(truth[truth == decided], minlength=len(classes)).double()
    return {"counts": {name: int(k) for name, k in zip(classes, counts, strict=False)},
            "recall": {name: float(r / k) for name, r, k in zip(classes, right, counts, strict=False) if k},
            "answered": {name: float(k / len(decided)) for name, k in zip(classes, answered, strict=False)}}


def _scores(comparison: Comparison) -> str:
    ours, constant = comparison.scores
    if comparison.counted:
        return f"{counted(round(ours), 'error')} against {constant:,.0f}"
    return f"a {comparison.measure} of {shown(ours)} against {shown(constant)}"


def _ends(comparison: Comparison) -> str:
    ends = comparison.pairs[0].difference
    unit, sign = (100, " %") if comparison.counted else (1, "")
    return f"{shown(unit * ends.low)} to {shown(unit * ends.high)}{sign}"
