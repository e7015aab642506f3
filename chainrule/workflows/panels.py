"""The pictures of answers beside the truth that a report draws: of the test part where it was opened, else of the validation part."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from chainrule.job.trained import Trained
from chainrule.report.panels import Panel, of_classes, of_numbers
from chainrule.runs.folder import Folder
from chainrule.runs.validation import Validation
from chainrule.tasks.regression import Regression

SUMS_TO_ONE = 1e-3   # how far the sum of a row may be from it


def panels_of(path: Path, trained: Trained, validation: Validation, tested: bool) -> list[Panel]:
    """Calibration and operating points of classes, predictions and residuals of numbers; nothing for other tasks."""
    answers, truth = _answers(path, validation, tested)
    if truth is None or not len(answers) or len(answers) != len(truth) or answers.dim() != 2:
        return []
    classes = trained.task.classes
    if classes and truth.dim() == 1 and answers.shape[1] == len(classes):
        sums = answers.double().sum(1)
        if not bool(answers.isfinite().all()) or float((sums - 1).abs().max()) > SUMS_TO_ONE:
            return []
        return of_classes(answers, truth.long(), classes)
    if isinstance(trained.task, Regression) and answers.shape == truth.shape:
        return of_numbers(answers, truth, trained.task.names(truth.shape[1]))
    return []


def _answers(path: Path, validation: Validation, tested: bool) -> tuple[Tensor, Tensor | None]:
    stored = Folder(path).read_predictions() if tested else None
    if stored is not None and "predictions" in stored[0] and "truth" in stored[0]:
        return stored[0]["predictions"], stored[0]["truth"]
    n = len(validation.answers)
    return torch.as_tensor(validation.answers), None if validation.truth is None else validation.truth[:n]
