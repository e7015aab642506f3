"""The cases that a net answers worst, one by one: pictures, rows with the columns that decided, texts, numbers far off."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.text import shown, visible
from chainrule.data.encode.decoding import as_columns
from chainrule.evaluate.mistakes import worst_rows
from chainrule.job.trained import Trained
from chainrule.report.facts import Wrong
from chainrule.report.pictures import guesses, worst_mistakes
from chainrule.runs.validation import Validation
from chainrule.tasks.regression import Regression

MOST, DECIDING = 8, 3      # cases, and columns named of each
MOST_COLUMNS = 100
LETTERS = 220              # of a text


def mistakes_of(trained: Trained, validation: Validation) -> tuple[list[Wrong], str]:
    """The worst cases of the validation part that can be shown, and a sentence about how they were chosen."""
    classes, worst = trained.task.classes, validation.mistakes
    if worst is not None and classes:
        return (worst_mistakes(worst.images, worst.answers, worst.truth, classes),
                f"The {len(worst.truth)} validation pictures it was surest of and wrong about, each with its two best guesses.")
    n = min(len(validation.inputs), len(validation.answers), 0 if validation.truth is None else len(validation.truth))
    if not n or validation.truth is None or validation.answers.dim() != 2:
        return [], ""
    inputs, answers, truth = validation.inputs[:n], validation.answers[:n], validation.truth[:n]
    few = " Rows are numbers in the data, from 0" + ("." if n == len(validation.truth) else f", and of the first {n:,} that validate.")
    if classes and truth.dim() == 1:
        rows = worst_rows(answers, truth)[:MOST]
        if not rows:
            return [], ""
        deciding = _deciding(trained, inputs, rows, answers[rows].argmax(1))
        return ([Wrong(None, [f"row {int(validation.rows[i])}", *guesses(answers[i], int(truth[i]), classes), *_text(trained, inputs[i]),
                              *why])
                 for i, why in zip(rows, deciding, strict=True)],
                f"The rows it was surest of and wrong about{_columns_too(deciding)}{few}")
    if isinstance(trained.task, Regression) and truth.dim() == 2 and answers.shape == truth.shape:
        off = ((answers - truth) / truth.std(0, correction=0).clamp(min=1e-12)).abs().amax(1)
        rows = off.argsort(descending=True)[:MOST].tolist()
        deciding = _deciding(trained, inputs, rows, None)
        names = trained.task.names(truth.shape[1])
        return ([Wrong(None, [f"row {int(validation.rows[i])}",
                              *(f"{name} is {shown(float(t))}, predicted {shown(float(p))}"
                                for name, t, p in zip(names, truth[i], answers[i], strict=True)), *why])
                 for i, why in zip(rows, deciding, strict=True)],
                f"The rows whose prediction is furthest off{_columns_too(deciding)}{few}")
    return [], ""


def _columns_too(deciding: Sequence[Sequence[str]]) -> str:
    return ", with the columns that moved its answer most: beside each, how far the answer moves when the column is at its mean." \
        if any(deciding) else "."


def _text(trained: Trained, x: Tensor) -> list[str]:
    """The row itself where it is a text, its blanks as signs."""
    known = trained.encoder.inputs.vocabulary
    if known is None:
        return []
    try:
        text = known.decode(x.flatten().long())
    except (InputError, IndexError, TypeError, ValueError):
        return []
    return [visible(text[:LETTERS]).replace("⏎\n", "⏎") + ("…" if len(text) > LETTERS else "")]


@torch.no_grad()
def _deciding(trained: Trained, inputs: Tensor, rows: Sequence[int], which: Tensor | None) -> list[list[str]]:
    """For each of these rows the columns of the table that moved its answer most, with their values; nothing for what is no table.

    A column's part in an answer is how far the answer moves when the column stands at its mean over `inputs`; of classes it is the
    probability of the one that is answered, `which` (rows,).
    """
    features = trained.encoder.inputs.features
    if features is None or len(features.columns) > MOST_COLUMNS or inputs.dim() != 2:
        return [[] for _ in rows]
    x, mean = inputs[list(rows)], inputs.double().mean(0).to(inputs.dtype)

    def answer(at: Tensor) -> Tensor:
        several = trained.predictions(at).double()
        return several[:, 0] if which is None else several.gather(1, which[:, None])[:, 0]

    usual, moved, at = answer(x), [], 0
    for fitted in features.columns:
        own = slice(at, at + len(fitted.outputs))
        at = own.stop
        without = x.clone()
        without[:, own] = mean[own]
        moved.append(usual - answer(without))
    parts = torch.stack(moved, 1)                                            # (rows, columns)
    try:
        values = as_columns(trained.encoder.inputs, trained.ready(x).cpu())
    except InputError:                                                       # a column that cannot be had back, as of sentences
        values = {}
    several = []
    for r, row in enumerate(parts):
        order = row.abs().argsort(descending=True)[:DECIDING].tolist()
        names = [features.columns[c].name for c in order]
        several.append([f"{name}{_value(values[name][r]) if name in values else ''}: {_moved(float(row[c]), which is not None)}"
                        for name, c in zip(names, order, strict=True) if abs(float(row[c])) > 0])
    return several


def _value(one: object) -> str:
    return f" = {one:.4g}" if isinstance(one, float) else f" = {one}"


def _moved(by: float, share: bool) -> str:
    return f"{100 * by:+.0f} %" if share else f"{by:+.4g}"
