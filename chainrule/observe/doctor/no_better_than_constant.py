"""D30: a net that knows no more than a constant answer does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import linear_regression

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.not_learning import slope_t
from chainrule.observe.doctor.remedy import Remedy
from chainrule.observe.doctor.still_improving import longer

AIM = 0.5                    # of the constant answer's loss, which a remedy aims at
LEAST, MOST = 2, 10          # times the training so far that it asks for
FEWEST = 5                   # losses by which a slope is known


@diagnoses("no-better-than-constant", source="McNemar (1947), https://doi.org/10.1007/BF02295996, for the pairs", code="D30",
           reads=("Judged",),
           after=("not-learning",), outcome=True,
           cause="Too little was learned in the time there was, the inputs do not tell the targets apart, or there are too few rows to "
                 "say.",
           remedy="More `--epochs` where the net was still getting better; else look at the inputs with `chainrule check`, or give more "
                  "rows.")
def no_better_than_constant(case: Case, *, t: float = 1.65) -> Iterator[Finding]:
    """On the validation part the 95 % interval of the paired difference to the constant answer reaches zero.

    The net was still getting better where the last of several validations had the least loss, or where the loss of the second half of one
    epoch has a slope with a t below minus `t`.
    """
    answers = case.judged.answers if case.judged else {}
    if "high" not in answers or answers["high"] < 0:
        return
    better = improving(case, t)
    cure = longer(case.facts, case.epoch, case.step, times(case)) if better else Remedy({}, "look at the inputs with chainrule check, or "
                                                                                         "give more rows")
    yield Finding("net", f"no better than the constant answer, {answers['constant']}: {answers['sentence']}"
                  + (f"; after {case.step:,} steps it was still getting better" if better else ""), cure,
                  {"n": answers["n"], "score": answers["score"], "constant": answers["constant_score"], "low": answers["low"],
                   "high": answers["high"]})


def improving(case: Case, t: float) -> bool:
    """Whether training ended while the loss of rows that it does not see still fell; of training rows, where those were seen but once."""
    losses = [e.valid["loss"] for e in case.evaluations if "loss" in e.valid]
    if len(losses) > 1:
        return losses[-1] < min(losses[:-1])
    later = _later(case)
    return len(later) >= FEWEST and slope_t(later) < -t


def times(case: Case) -> int:
    """How many times the steps so far it takes for the loss to fall to `AIM` of the constant answer's, as fast as it fell of late."""
    later, constant = _later(case), case.facts.constant_loss
    if len(later) < 2 or constant is None:
        return LEAST
    slope = linear_regression(*zip(*later, strict=True)).slope
    if not slope < 0:
        return LEAST
    further = max(0.0, later[-1][1] - AIM * constant) / -slope
    return max(LEAST, min(MOST, math.ceil(1 + further / case.step)))


def _later(case: Case) -> list[tuple[int, float]]:
    """The losses of the second half by their steps, without means of epochs where enough others are there; none where one is not finite."""
    later = [(step, loss) for step, loss in case.curve if step >= case.step / 2]
    if not all(math.isfinite(loss) for _, loss in later) or len({step for step, _ in later}) < 2:
        return []
    ends = {e.step - case.began for e in case.evaluations}
    alone = [(step, loss) for step, loss in later if step not in ends]
    return alone if len(alone) >= FEWEST else later
