"""Pictures of what a run's net looks at: filters and maps of its layers, pixels that its answers hang on, symbols that it attends to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError, suggest
from chainrule.data.source import Part
from chainrule.job.job import Job
from chainrule.observe import attribution
from chainrule.plots.attribution import beside, layer_maps
from chainrule.plots.evaluation import MOST_PICTURES, weight_pictures
from chainrule.runs.validation import shown
from chainrule.workflows.attention import drawn
from chainrule.workflows.options import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from chainrule.workflows.run import Run

FEW = 6                 # pictures side by side
WRITTEN = 4             # maps of attention
COVERED = 4             # a covered square is such a part of the shorter side


def filters(run: Run, drawing: Drawing) -> Figure:
    """The filters of a layer, the first one's unless another is named; those over many channels channel by channel. Raises InputError."""
    every = attribution.filters(run.trained.net.module)
    if not every:
        raise InputError(f"{run.name} has no filters larger than one pixel. Draw the kind weights, or a convolutional net.")
    weight = every[_layer(drawing.layer, every, run)]
    rows = weight if weight.shape[1] in (1, 3) else weight.reshape(-1, 1, *weight.shape[2:])
    return weight_pictures(rows[:MOST_PICTURES].flatten(1), rows.shape[1:])


def activations(run: Run, drawing: Drawing) -> Figure:
    """The maps that a layer gives for one picture: the first layer's and the first validation picture unless others are named."""
    part, rows = _rows(run, drawing.row, 1)
    every = attribution.activations(run.trained.net.module, _inputs(run, part, rows))
    name = _layer(drawing.layer, every, run)
    caption = f"{name} of {run.name}: {every[name].shape[1]} maps of row {int(part.rows[rows[0]])}"
    return layer_maps(shown(run.trained, part, rows)[0], every[name][0], caption)


def saliency(run: Run, drawing: Drawing) -> Figure:
    """How fast the score of the class that is answered changes with each pixel, for one row or some of the validation part."""
    def measured(score: attribution.Answer, _: attribution.Answer, x: Tensor) -> Tensor:
        return attribution.saliency(score, x)

    return _beside(run, drawing, measured, "slope of the score", signed=False)


def occlusion(run: Run, drawing: Drawing) -> Figure:
    """How much the probability of the class that is answered falls where a square is covered, for one row or some that validate."""
    def measured(_: attribution.Answer, probability: attribution.Answer, x: Tensor) -> Tensor:
        return attribution.occlusion(probability, x, side=max(1, min(x.shape[2:]) // COVERED), stride=max(1, min(x.shape[2:]) // 14))

    return _beside(run, drawing, measured, "probability lost", signed=True)


def attention(run: Run, drawing: Drawing) -> Figure:
    """Where the net looks for each symbol that it writes, for one row or some of the validation part. Raises InputError."""
    part, rows = row_places(run.job, drawing.row, WRITTEN)
    return drawn(run.trained, part.x[rows])


KINDS: dict[str, Callable[[Run, Drawing], Figure]] = {"filters": filters, "activations": activations, "saliency": saliency,
                                                      "occlusion": occlusion, "attention": attention}


def _beside(run: Run, drawing: Drawing, measured: Callable[[attribution.Answer, attribution.Answer, Tensor], Tensor], what: str, *,
            signed: bool) -> Figure:
    trained, classes = run.trained, run.job.data.classes
    task = trained.task
    if not task.classes:
        raise InputError(f"this picture asks which pixels a class hangs on; {run.name} answers {task.name}. Train a classifier.")
    part, rows = _rows(run, drawing.row, FEW)
    x = _inputs(run, part, rows)
    twin = duplicate(trained.net.module).eval()
    answers = task.answer(twin(x).detach(), trained.loss)                      # (n, classes)
    best = answers.argmax(1, keepdim=True)

    def score(at: Tensor) -> Tensor:
        outputs: Tensor = twin(at)
        return outputs.gather(1, best)[:, 0] if outputs.shape[1] == answers.shape[1] else outputs[:, 0]

    def probability(at: Tensor) -> Tensor:
        return task.answer(twin(at), trained.loss).gather(1, best)[:, 0]

    maps = measured(score, probability, x)
    truth = trained.truth(part)[rows.to(trained.device)].tolist()
    captions = [_caption(classes, int(true), answer) for true, answer in zip(truth, answers, strict=True)]
    return beside(shown(trained, part, rows), maps, captions, what, signed=signed)


def _caption(classes: tuple[str, ...], true: int, answer: Tensor) -> str:
    """The right class, and the two best guesses with their probabilities."""
    shares, guesses = answer.topk(min(2, len(classes)))
    return "\n".join([f"is {classes[true]}", *(f"{classes[int(guess)]}: {100 * float(share):.1f} %" for share, guess in
                                               zip(shares, guesses, strict=True))])


def _layer(name: str | None, every: Mapping[str, Tensor], run: Run) -> str:
    """The name of a layer, the first where none is given. Raises InputError that offers those there are."""
    if name is None:
        return next(iter(every))
    if name not in every:
        raise InputError(f"{run.name} has no layer '{name}' that can be drawn so. {suggest(name, every)}")
    return name


def _rows(run: Run, row: int | None, several: int) -> tuple[Part, Tensor]:
    """The same for a run that reads pictures. Raises InputError for another."""
    if run.trained.encoder.inputs.picture_shape is None:
        raise InputError(f"{run.name} reads no pictures. Use the kind surface or histograms.")
    return row_places(run.job, row, several)


def row_places(job: Job, row: int | None, several: int) -> tuple[Part, Tensor]:
    """The part that holds a row of the data, and its place there; the first ones of the validation part where none is named.

    Raises InputError for a row of the test part, or one that there is not.
    """
    data = job.data
    if row is None:
        part = data.valid if len(data.valid) else data.train
        return part, torch.arange(min(several, len(part)))
    if row >= len(job.source):
        raise InputError(f"{data.name} has no row {row}; rows are numbered from 0 to {len(job.source) - 1}.")
    for part in (data.valid, data.train):
        places = (part.rows == row).nonzero()[:, 0]
        if len(places):
            return part, places[:1]
    if bool((data.door.rows == row).any()):
        raise InputError(f"row {row} belongs to the test part, which is not looked at. Name a row of the training or validation part.")
    raise InputError(f"row {row} of {data.name} was left out of the training. Name another.")


def _inputs(run: Run, part: Part, rows: Tensor) -> Tensor:
    """Rows as the net reads them, pictures (n, c, h, w)."""
    shape = run.trained.encoder.inputs.picture_shape
    assert shape is not None
    x = run.trained.ready(part.x[rows].to(run.job.device))
    if x.dim() != 4:
        raise InputError(f"{run.name} reads its pictures as rows of numbers. Draw the kind weights, or train a convolutional net.")
    return x
