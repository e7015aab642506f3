"""D08: a loss of one's own that is maximised."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("loss-sign", source="Goodfellow, Bengio & Courville (2016), Deep Learning, section 4.3", code="D08", reads=("Evaluated",),
           after=("output-activation",),
           cause="Training goes down the loss: of minus a cost, it makes answers as wrong as it can.",
           remedy="The loss without its minus. The named losses cannot be below zero; `--loss cross-entropy` or `--loss squared`.")
def loss_sign(case: Case, *, below: float = -1e-6, deviations: float = 3.0) -> Iterator[Finding]:
    """A loss of one's own is below zero and falls, while answers are no better than a constant one.

    Of classes no more often right than the most frequent class, within so many `deviations`; of numbers with an r2 of at most 0.
    """
    facts = case.facts
    if not facts.own_loss or not case.evaluations:
        return
    now = case.evaluations[-1]
    loss, first = now.train.get("loss"), case.first_loss
    if loss is None or not loss < below or (first is not None and not loss < first):
        return
    accuracy, r2 = now.valid.get("accuracy"), now.valid.get("r2")
    slack = deviations * (facts.chance * (1 - facts.chance) / max(facts.validating, 1)) ** 0.5 if facts.classes else 0.0
    if not ((accuracy is not None and accuracy <= facts.chance + slack) or (r2 is not None and r2 <= 0)):
        return
    yield Finding("loss", f"the loss is {loss:.3g} and falls, and answers are no better than a constant one "
                  f"({f'{100 * accuracy:.1f} % right' if accuracy is not None else f'r2 {r2:.3g}'})",
                  Remedy({}, "take the minus off the loss"), {"loss": loss})
