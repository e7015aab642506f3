"""Detection: one or several boxes in a picture, each with a class.

Sermanet, Eigen, Zhang, Mathieu, Fergus & LeCun (2014), https://arxiv.org/abs/1312.6229; Redmon, Divvala, Girshick & Farhadi (2016),
https://arxiv.org/abs/1506.02640
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.boxes import Boxes, generalised
from chainrule.core.criterion import Criterion
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss, identity
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.core.text import label
from chainrule.data.source import Part, Source
from chainrule.evaluate.detection import SURE, detection, matched, quick, suppressed
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.classification import probabilities
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, baseline_of, validation_costs, watched

OWN = 5                          # outputs of a cell before those of its classes: objectness, then place and size of the box
EMPTY, OVERLAP = 0.5, 2.0        # what the objectness of cells without object counts, and what the boxes do: YOLO's section 2.2
LEAST, MOST = 0.05, 50           # the least confidence of a box that is kept, and how many of them a picture may have
COLUMNS = ("x0", "y0", "x1", "y1")


class Detect:
    """The costs of a grid of cells, outputs (n, 5 + classes, rows, columns), beside `Boxes`; each is of a picture (n,), by box.

    The cell in which a box has its middle answers for it. `objectness` is the cross-entropy of whether a cell has a box, empty ones
    counting half; `box` one less the generalised overlap of its box, times 2; `class` the loss of its class scores. Raises InputError
    for outputs of another form.
    """

    def __init__(self, loss: Loss):
        self.loss_of_classes = loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        raw, height, width = net(batch.x), batch.x.shape[-2], batch.x.shape[-1]
        boxes: Boxes = batch.y
        if raw.dim() != 4 or raw.shape[1] <= OWN:
            raise InputError(f"Boxes are answered by outputs (n, {OWN} + classes, rows, columns) of a grid; got {tuple(raw.shape)}. Use "
                             "--net detector.")
        corners, objectness, scores = decoded(raw, (height, width))
        present = boxes.labels >= 0                                                       # (n, k)
        count = present.sum(1).clamp(min=1)                                               # (n,)
        at = cells(boxes.corners, (height, width), (raw.shape[2], raw.shape[3]))          # (n, k)
        full = torch.zeros_like(objectness).scatter_add(1, at, present.to(objectness.dtype)).clamp(max=1)
        each = F.binary_cross_entropy_with_logits(objectness, full, reduction="none")     # (n, cells)
        own = corners.gather(1, at[..., None].expand(*at.shape, 4))                       # (n, k, 4)
        apart = torch.where(present, 1 - generalised(own, boxes.corners.to(own.dtype)), 0.0)
        classes = scores.gather(1, at[..., None].expand(*at.shape, scores.shape[2]))      # (n, k, classes)
        costs = self.loss_of_classes.each(classes.flatten(0, 1), boxes.labels.clamp(min=0).flatten()).unflatten(0, at.shape)
        return {"objectness": torch.where(full > 0, each, EMPTY * each).sum(1) / count, "box": OVERLAP * apart.sum(1) / count,
                "class": torch.where(present, costs, 0.0).sum(1) / count}


def decoded(raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Corners (n, cells, 4) in pixels of pictures of `size` (h, w), logits (n, cells) that a cell has a box, and its class scores
    (n, cells, classes), of outputs (n, 5 + classes, rows, columns).

    The middle of a box lies in its cell, at a logistic place; its height and width are logistic shares of the picture's.
    """
    rows, columns = raw.shape[2], raw.shape[3]
    outputs = raw.flatten(2).transpose(1, 2)                                               # (n, cells, 5 + classes)
    cell = torch.arange(rows * columns, device=raw.device)
    row, column = cell.div(columns, rounding_mode="floor"), cell.remainder(columns)
    place = outputs[..., 1:OWN].sigmoid()
    y, x = (row + place[..., 0]) * (size[0] / rows), (column + place[..., 1]) * (size[1] / columns)
    high, wide = place[..., 2] * size[0], place[..., 3] * size[1]
    return torch.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], -1), outputs[..., 0], outputs[..., OWN:]


def cells(corners: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The number (n, k) of the cell in which each box (n, k, 4) has its middle, by rows."""
    x, y = (corners[..., 0] + corners[..., 2]) / 2, (corners[..., 1] + corners[..., 3]) / 2
    row = (y * (grid[0] / size[0])).long().clamp(0, grid[0] - 1)
    column = (x * (grid[1] / size[1])).long().clamp(0, grid[1] - 1)
    return row * grid[1] + column


def has_boxes(source: Source) -> bool:
    return source.target_kind == "boxes"


@tasks("detection", source="Redmon, Divvala, Girshick & Farhadi (2016), https://arxiv.org/abs/1506.02640", targets=("boxes",),
       usual=has_boxes, net="detector")
class Detection(SampleTask):
    """What is where; answers are boxes (n, m, 6), the surest first: left, top, right and bottom edge in pixels, class, confidence.

    Those of fewer than m are filled up by the class -1. `loss` is that of the class scores.
    """

    name: ClassVar[str] = "detection"
    watch: ClassVar[tuple[str, ...]] = ("average_precision", "loss")
    loss: ClassVar[str | None] = "cross-entropy"

    @property
    def outputs(self) -> int:
        """Of each cell of a grid: objectness, place and size of a box, and a score for each class."""
        return OWN + len(self.target.classes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures, in whose pixels boxes are told."""
        return self.inputs.shape[-2], self.inputs.shape[-1]

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Detect(loss)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        answer, truth = self.answer(runner.plainly(part.x), loss), self.truth(part, runner.ready)
        return {**quick(answer, truth, len(self.target.classes)), **validation_costs(runner, part, criterion),
                **watched(self, lambda: (answer, truth))}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        corners, objectness, scores = decoded(raw, self.size)
        shares = probabilities(scores, False, identity if loss is None else loss.link)         # (n, cells, classes)
        probability, label = shares.max(-1)
        confidence = objectness.sigmoid() * probability
        height, width = self.size
        inside = torch.minimum(corners.clamp(min=0), corners.new_tensor([width, height, width, height]))
        return suppressed(inside, torch.where(confidence >= LEAST, confidence, 0.0), label, MOST).cpu()

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Boxes (n, k, 5): edges and class, -1 where there is none; empty where nothing says."""
        if part.y is None:
            return torch.empty(0)
        return torch.cat([part.y.corners, part.y.labels[..., None].to(part.y.corners)], -1).cpu()

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return detection(answer, truth, self.target.classes, task=self.name)

    def grades(self, answer: Tensor, truth: Tensor) -> Tensor:
        """What answered boxes share with the true ones, by how many of either there are, (n,): 1 where all is right and nothing more."""
        matches, present = matched(answer, truth), truth[..., 4] >= 0
        false = ((answer[..., 5] >= SURE) & ~matches.right).sum(1)
        return (torch.where(present, matches.overlap, 0.0).sum(1) + (present.sum(1) + false == 0)) / (present.sum(1) + false).clamp(min=1)

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        """What the answers to each picture do not share with its boxes, so counted that the mean is that over boxes."""
        truth = self.truth(part, runner.ready)
        present = truth[..., 4] >= 0
        missed = torch.where(present, 1 - matched(answer, truth).overlap.double(), 0.0).sum(1)
        return Cases(part.rows, test_set, costs=missed * len(part) / present.sum().clamp(min=1), measure="mean of 1 - IoU over boxes")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """One box (6,), as answers have it: the mean of the training boxes of the most frequent class."""
        present = part.y.labels >= 0
        usual = torch.bincount(part.y.labels[present], minlength=len(self.target.classes)).argmax()
        mean = part.y.corners[part.y.labels == usual].double().mean(0)
        return torch.cat([mean, mean.new_tensor([float(usual), 1.0])])

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """That box in every picture."""
        return baseline_of(f"always one {label(self.target.classes[int(constant[4])])}",
                           self.measure(self.constantly(constant, part, ready), self.truth(part, ready), seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return constant.float().expand(len(part), 1, 6)

    def names(self, count: int) -> tuple[str, ...]:
        return (*COLUMNS, "class", "confidence")

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """A row for each box that is answered with a confidence of at least 0.5: its picture, class, edges in pixels, and confidence."""
        pictures, places = (answer[..., 5] >= SURE).nonzero(as_tuple=True)
        boxes = answer[pictures, places]                                                       # (boxes, 6)
        labels = np.array([self.target.classes[i] for i in boxes[:, 4].long().tolist()], np.str_)
        return {"sequence": (pictures + 1).numpy(), "label": labels, **{name: boxes[:, i].numpy() for i, name in enumerate(COLUMNS)},
                "confidence": boxes[:, 5].numpy()}

    def placed(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns with their edges in pixels of the pictures' own `height` and `width`, from which they were brought to one size."""
        (high, wide), own = self.size, {name: np.asarray(columns[name], np.float64) for name in ("height", "width")}
        factors = {"x0": own["width"] / wide, "x1": own["width"] / wide, "y0": own["height"] / high, "y1": own["height"] / high}
        return {name: np.asarray(column) * factors[name] if name in factors else column for name, column in columns.items()}
