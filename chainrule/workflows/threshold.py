"""The operating point of a trained net, chosen on its validation part and stored in its folder, where all that answers obeys it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from chainrule.core.abilities.tasks import Decides
from chainrule.core.errors import InputError, suggest
from chainrule.core.options import check
from chainrule.evaluate.decision import Chosen, choose
from chainrule.job.record import write_threshold
from chainrule.job.trained import Trained
from chainrule.runs.validation import Validation
from chainrule.workflows.options import OperatingPoint


class Deciding(Protocol):
    """A run, as its threshold needs it."""

    path: Path
    record: dict[str, Any]

    @property
    def trained(self) -> Trained: ...

    @property
    def validation(self) -> Validation: ...


def choose_threshold(run: Deciding, positive: str, wanted: OperatingPoint) -> Chosen:
    """Choose, store and obey an operating point. Raises InputError where the net answers no classes, or none such, or none so well."""
    check(wanted)
    trained = run.trained
    task = trained.task
    if not isinstance(task, Decides):
        raise InputError(f"{run.path} answers no classes of samples ({task.name}); a threshold is for classification.")
    classes = task.classes
    if positive not in classes:
        raise InputError(f"{run.path} has no class '{positive}'. {suggest(positive, classes)}")
    validation = run.validation
    if validation.truth is None or not len(validation.truth):
        raise InputError(f"{run.path} kept no validation part to choose a threshold on. Train with --split train=.7,valid=.15,test=.15.")
    chosen = choose(validation.answers, validation.truth, classes, positive, recall=wanted.recall, precision=wanted.precision,
                    fpr=wanted.fpr, at=wanted.at)
    write_threshold(run.path, chosen, run.record["run"])
    task.threshold = chosen.threshold
    return chosen
