"""What is said of a run when it has ended: that it was still getting better, or that it knows no more than a constant answer does."""

from __future__ import annotations

from chainrule.core.events import Finished
from chainrule.core.text import shown
from chainrule.evaluate.significance import Comparison, compare
from chainrule.job.job import Job
from chainrule.runs.validation import Validation
from chainrule.tasks.classification import Classification
from chainrule.tasks.regression import Regression


def verdicts(job: Job, finished: Finished, validation: Validation) -> list[str]:
    """Sentences, usually none: where the last epoch was the best, and where the constant answer is not clearly worse."""
    return [*_improving(job, finished), *_constant(job, validation)]


def _improving(job: Job, finished: Finished) -> list[str]:
    """Where the budget ended training at its best epoch; under a schedule, which brings the rate down toward the end, that says nothing."""
    options = job.options
    ended_at_best = finished.reason == "budget" and finished.epochs >= 2 and finished.best_epoch >= finished.epochs
    if not ended_at_best or not job.monitor or options.schedule or not len(job.data.valid):
        return []
    name = "steps" if options.steps is not None else "seconds" if options.seconds is not None else "epochs"
    return [f"Still improving: the last of {finished.epochs:,} epochs was the best on the validation part. Give it more --{name}."]


def _constant(job: Job, validation: Validation) -> list[str]:
    task, constant = job.task, job.trained.constant
    if not isinstance(task, Classification | Regression) or constant is None or validation.truth is None:
        return []
    part = job.data.valid.rows_at(0, len(validation.answers))
    name = task.baseline(constant, part, job.trained.ready, seed=0).name
    row = constant.double() / constant.sum() if isinstance(task, Classification) else constant
    answers = (validation.answers, row.expand(len(part), -1))
    cases = [case for answer in answers if (case := job.trained.outcomes(part, "valid", answer)) is not None]
    comparison = compare(("the net", name), cases)
    difference = comparison.pairs[0].difference
    if difference.high < 0:
        return []
    return [f"No better than the constant answer, {name}: {_scores(comparison)} on {comparison.n:,} validation cases (95 % interval of "
            f"the difference {_ends(comparison)}). Look at the inputs with chainrule check, or give more rows."]


def _scores(comparison: Comparison) -> str:
    ours, constant = comparison.scores
    if comparison.counted:
        plural = "" if ours == 1 else "s"
        return f"{ours:,.0f} error{plural} against {constant:,.0f}"
    return f"a {comparison.measure} of {shown(ours)} against {shown(constant)}"


def _ends(comparison: Comparison) -> str:
    ends = comparison.pairs[0].difference
    unit, sign = (100, " %") if comparison.counted else (1, "")
    return f"{shown(unit * ends.low)} to {shown(unit * ends.high)}{sign}"
