"""D23: a net that answers otherwise in evaluation than in training."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy


@diagnoses("train-evaluation-mismatch", source="Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167; Ioffe (2017), "
           "https://arxiv.org/abs/1702.03275",
           code="D23", reads=("Looked", "Evaluated"), after=("over-regularised",),
           cause="Running means of batch statistics are used in evaluation; where they lag behind, or batches are too small, they are "
                 "those of another net.",
           remedy="Larger batches, `--batch 64`; `--net ...:norm=group`; in a module of one's own a larger momentum of its statistics.")
def train_evaluation_mismatch(case: Case, *, ratio: float = 1.5, least: float = 0.1, looks: int = 4,
                              fewest: int = 100) -> Iterator[Finding]:
    """The same training rows have `ratio` times the loss in evaluation that they have in training, and `least` more: median of `looks`.

    From `fewest` steps on: before, running statistics may lag behind by nature, unless they move so slowly that they never arrive.
    """
    slow = never_arrive(case.facts)
    pairs = [(a, b) for at in case.looks if at.step >= fewest and (a := at.number("loss")) is not None
             and (b := at.number("evaluated_loss")) is not None][-looks:]
    if slow and case.evaluations and case.step >= fewest / 2:                # the mean of the epoch beside the validation part
        last = case.evaluations[-1]
        pairs = [(last.train["loss"], last.valid["loss"])] if "loss" in last.train and "loss" in last.valid else []
    if len(pairs) < (1 if slow else looks):
        return
    training, evaluation = middle([a for a, _ in pairs]), middle([b for _, b in pairs])
    if not (evaluation > ratio * training and evaluation > training + least):
        return
    net = altered("net", case.facts.net, norm="group")
    cure = remedy(batch="64") if 0 < case.facts.batch < 16 else remedy(net=net) if net else Remedy(
        {}, "let running statistics follow faster, with a larger momentum")
    share = "" if not slow else f"; running statistics move by {case.facts.statistics:g} of the way at each of {case.facts.steps:,} steps"
    rows = "rows" if slow else "the same training rows"
    yield Finding("normalisation", f"{rows} have a loss of {training:.3g} in training and of {evaluation:.3g} in evaluation{share}", cure,
                  {"training": training, "evaluation": evaluation})


def never_arrive(facts: Facts) -> bool:
    """Whether running statistics cannot arrive in the steps there are, moving by so small a share at each."""
    return facts.statistics is not None and 0 < facts.statistics * facts.steps < 2
