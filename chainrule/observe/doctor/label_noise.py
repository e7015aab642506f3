"""D25: labels that the inputs say nothing of."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.overfitting import by_chance, right
from chainrule.observe.doctor.remedy import Remedy


@diagnoses("label-noise", source="Zhang, Bengio, Hardt, Recht & Vinyals (2017), https://arxiv.org/abs/1611.03530", code="D25",
           reads=("Evaluated",),
           after=("train-evaluation-mismatch",),
           cause="A large net learns any labels by heart; where others are answered no better than by chance, inputs and labels do not "
                 "belong together.",
           remedy="Look at how rows and labels were paired: one of them sorted or shuffled alone, a wrong file; `chainrule check` looks "
                  "for wrong labels.")
def label_noise(case: Case, *, gap: float = 0.1, deviations: float = 4.0, fewest: int = 50) -> Iterator[Finding]:
    """Training rows are right more often than validation rows by `gap`, and these no more often than by the most frequent class.

    Within so many `deviations`; of at least `fewest` validation rows.
    """
    facts, accuracies = case.facts, case.accuracies
    if not facts.classes or not accuracies or facts.validating < fewest or "loss" not in case.evaluations[-1].train:
        return
    if not facts.loss.startswith("cross-entropy"):
        return
    chance, now, learned = facts.chance, accuracies[-1], right(case.evaluations[-1])
    if learned > max(now, chance) + gap and by_chance(case, deviations):
        yield Finding("labels", f"more than {100 * learned:.0f} % of the training rows are right and {100 * now:.1f} % of "
                      f"{facts.validating:,} validation rows; "
                      f"always answering the most frequent class is right in {100 * chance:.1f} %",
                      Remedy({}, "look at how rows and labels were paired, then chainrule check"),
                      {"training": learned, "validation": now, "chance": chance})
