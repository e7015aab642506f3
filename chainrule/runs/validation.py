"""What a run keeps of its validation part, so that a report and an export need no data: measures, answers, some rows, mistakes."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasCodes, HasRegimes
from chainrule.core.abilities.tasks import Calibrates, Ranks, Scores
from chainrule.core.errors import InputError
from chainrule.core.schema import intelligible
from chainrule.data.source import Data, Part
from chainrule.evaluate.mistakes import WORST, worst_rows
from chainrule.evaluate.result import Result
from chainrule.job.linear import linear_of
from chainrule.job.record import REMEDY, read_own
from chainrule.job.simpler_answers import with_simpler
from chainrule.job.trained import Trained
from chainrule.runs.folder import Folder

MEASURES, TENSORS = "valid.json", "valid.safetensors"
MOST_ANSWERS, ANSWER_BYTES = 20_000, 2**25
MOST_INPUTS, INPUT_BYTES = 256, 2**22   # of the encoded rows that an export is checked on
MOST_POINTS = 2000                      # of the training rows over which the regimes of experts are drawn
OPTIONAL = ("truth", "points", "scores", "labels")


@dataclass(frozen=True)
class Mistakes:
    """The pictures that a net answers worst, uint8 (k, channels, height, width), its answers (k, ...) and the truth (k, ...).

    Of classes they are those that it was surest of and wrong about.
    """

    images: Tensor
    answers: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Validation:
    """The validation part as a run's folder keeps it.

    `result` is None where no rows validate: then `inputs` are training rows, and the rest is empty. `answers` (n, ...) are those to the
    first of its `rows` (n,) in the source, `truth` (n, ...) their targets, None without any; `inputs` are some of its encoded rows;
    `points` (k, d) training rows in the units of the data, for nets whose regimes are drawn. `scores` (k,) say how strange its rows are,
    and `labels` (k,) are the classes of `inputs` of nets that make codes, whether they learned from these or not.
    """

    result: Result | None
    rows: Tensor
    answers: Tensor
    truth: Tensor | None
    inputs: Tensor
    mistakes: Mistakes | None = None
    points: Tensor | None = None
    scores: Tensor | None = None
    labels: Tensor | None = None

    @classmethod
    def of(cls, trained: Trained, data: Data) -> Validation:
        """Of a net and the data it trained on. Raises InputError where it cannot be measured."""
        part = data.valid
        if not len(part):
            shown = data.train.rows_at(0, _checked(data.train))
            answers = trained.predictions(shown)[:0]
            return cls(None, part.rows[:0], answers, None, shown.x[:], None, _points(trained, data), None, _labels(trained, data, shown))
        if isinstance(trained.task, Calibrates):
            trained.task.calibrate(trained.predictions(part), trained.truth(part))
        result = trained.measure(part)
        judged = bool(trained.task.classes) or isinstance(trained.task, Ranks)
        pictures = trained.encoder.inputs.picture_shape is not None and judged and part.y is not None
        answers = trained.predictions(part if pictures else part.rows_at(0, _fitting(trained, part)))
        result = with_simpler(trained, linear_of(trained, data), part, answers, result, "valid")
        truth = trained.truth(part)
        mistakes = _mistakes(trained, part, answers, truth) if pictures else None
        few = min(_fitting(trained, part), len(answers))
        seen = part.rows_at(0, _checked(part))
        return cls(result, part.rows[:few], answers[:few], truth[:few] if len(truth) else None, seen.x, mistakes, _points(trained, data),
                   _scores(trained, part), _labels(trained, data, seen))

    def write(self, folder: Folder, run: str) -> None:
        """Raises InputError where the disk is full."""
        tensors = {"rows": self.rows, "answers": self.answers, "inputs": self.inputs}
        optional = {name: getattr(self, name) for name in OPTIONAL}
        if self.mistakes is not None:
            optional |= {f"mistakes.{name}": t for name, t in vars(self.mistakes).items()}
        tensors |= {name: t for name, t in optional.items() if t is not None}
        folder.write_tensors(TENSORS, tensors, {"kind": "valid", "run": run})
        folder.write_json(MEASURES, None if self.result is None else self.result.to_dict())

    @property
    def measured(self) -> Result:
        """The result. Raises InputError where no rows validate."""
        if self.result is None:
            raise InputError("no rows validate, so there are no measures of them. Train with --split train=.7,valid=.15,test=.15, or open "
                             "the test part.")
        return self.result

    @classmethod
    def read(cls, folder: Folder, run: str) -> Validation | None:
        """What was written; None where training did not come to its end. Raises CorruptFile where a file is not whole, or another run's."""
        if not (folder.path / MEASURES).exists():
            return None
        result = read_result(folder, MEASURES)
        tensors, _ = read_own(folder.path / TENSORS, "valid", run)
        with intelligible(folder.path / TENSORS, REMEDY):
            mistakes = {name: tensors[f"mistakes.{name}"] for name in ("images", "answers", "truth") if f"mistakes.{name}" in tensors}
            return cls(result, tensors["rows"], tensors["answers"], tensors.get("truth"), tensors["inputs"],
                       Mistakes(**mistakes) if mistakes else None, **{name: tensors.get(name) for name in OPTIONAL[1:]})


def read_result(folder: Folder, name: str) -> Result | None:
    """Measures that a folder keeps under a name; None where it has none, or none could be taken. Raises CorruptFile naming the file."""
    stored = folder.read_json(name)
    if stored is None:
        return None
    with intelligible(folder.path / name, REMEDY):
        return Result.from_json(json.dumps(stored))


def _checked(part: Part) -> int:
    """How many encoded rows are kept for an export to be checked on."""
    size: int = part.x[:1].nbytes
    return max(1, min(MOST_INPUTS, INPUT_BYTES // max(1, size)))


def _fitting(trained: Trained, part: Part) -> int:
    """How many answers to a part are kept."""
    one = trained.predictions(part.rows_at(0, 1))
    return max(1, min(MOST_ANSWERS, ANSWER_BYTES // max(1, one.numel() * one.element_size())))


def _scores(trained: Trained, part: Part) -> Tensor | None:
    """How strange the rows of a part are, those of which answers would be kept; None where the net says nothing of it."""
    task = trained.task
    if not isinstance(task, Scores):
        return None
    try:
        return task.strangeness(trained.inference, part.rows_at(0, MOST_ANSWERS), trained.loss).cpu()
    except InputError:                                                   # a net of this task that has no density
        return None


def _labels(trained: Trained, data: Data, part: Part) -> Tensor | None:
    """The classes of rows (n,), for nets that make codes of rows by themselves."""
    if not isinstance(trained.net.module, HasCodes) or data.source.target_kind != "class" or not isinstance(data.source.targets, Tensor):
        return None
    return data.source.targets[part.rows].long()


def _mistakes(trained: Trained, part: Part, answers: Tensor, truth: Tensor) -> Mistakes | None:
    task = trained.task
    worst = task.grades(answers, truth).argsort()[:WORST] if isinstance(task, Ranks) else torch.tensor(worst_rows(answers, truth)).long()
    return Mistakes(shown(trained, part, worst), answers[worst], truth[worst]) if len(worst) else None


def shown(trained: Trained, part: Part, rows: Tensor) -> Tensor:
    """Pictures of a part by their rows in it, as its net reads them, uint8 (k, channels, height, width)."""
    shape = trained.encoder.inputs.picture_shape
    assert shape is not None
    return as_pixels(trained.ready(part.x[rows]).reshape(-1, *shape))


def as_pixels(images: Tensor) -> Tensor:
    """Pictures (n, channels, height, width) in [0, 1], or brought there from their least to their greatest number, as uint8."""
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        images = (images - low) / (high - low)
    return (images * 255).round().to(torch.uint8)


def _points(trained: Trained, data: Data) -> Tensor | None:
    """Training rows in the units of the data, spread over the whole part, for a net that says which expert is asked over 1 or 2 inputs."""
    if not isinstance(trained.net.module, HasRegimes) or data.input_shape not in ((1,), (2,)):
        return None
    centre, factor = trained.encoder.inputs.units
    n = len(data.train)
    rows = torch.arange(n) if n <= MOST_POINTS else torch.linspace(0, n - 1, MOST_POINTS, dtype=torch.float64).long()
    points: Tensor = data.train.x[rows].double() / factor + centre
    return points


