"""Segmentation: a class for each pixel of a picture, or of its middle. Mnih & Hinton (2010), Learning to detect roads in high-resolution
aerial images, https://doi.org/10.1007/978-3-642-15567-3_16; Long, Shelhamer & Darrell (2015), https://arxiv.org/abs/1411.4038
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core import registry
from chainrule.core.criterion import Criterion, Pixelwise
from chainrule.core.loss import Loss, identity
from chainrule.core.maps import central
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.core.text import label
from chainrule.data.source import Part, Source
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.segmentation import confusions, segmentation, shares
from chainrule.evaluate.significance import Cases
from chainrule.tasks.classification import probabilities
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, validation_costs, watched, with_registered

VOC = "Everingham et al. (2010), https://doi.org/10.1007/s11263-009-0275-4"
registry.measures("iou", source=VOC, better="higher", unit="share")(shares)


def has_maps(source: Source) -> bool:
    return source.target_kind == "maps"


@tasks("segmentation", source="Mnih & Hinton (2010), https://doi.org/10.1007/978-3-642-15567-3_16", targets=("maps",), usual=has_maps,
       net="unet:width=16,depth=3,norm=batch")
class Segmentation(SampleTask):
    """Which class each pixel has; answers are probabilities (n, h, w, classes).

    A net may answer for the middle of its pictures alone, as patches are labelled: costs and measures are then those of the middle.
    """

    name: ClassVar[str] = "segmentation"
    watch: ClassVar[tuple[str, ...]] = ("iou", "loss")
    loss: ClassVar[str | None] = "cross-entropy"
    probabilistic: ClassVar[bool] = True

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Pixelwise(loss)

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return probabilities(raw.movedim(1, -1), False, identity if loss is None else loss.link).cpu()

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Class numbers (n, height, width) of whole pictures; empty where nothing says."""
        return torch.empty(0) if part.y is None else part.y

    def maps(self, answer: Tensor) -> Tensor:
        """The likeliest class of each pixel, uint8 (n, h, w)."""
        return answer.argmax(-1).to(torch.uint8)

    def grades(self, answer: Tensor, truth: Tensor) -> Tensor:
        """The share of pixels right, (n,)."""
        return 1 - wrong(self.maps(answer), truth)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        costs: dict[str, float] = {}
        counts = torch.zeros(self.outputs, self.outputs, dtype=torch.float64)
        for some in blocks(part):
            raw = runner.plainly(some.x)
            for name, value in validation_costs(runner, some, criterion, raw).items():
                costs[name] = costs.get(name, 0.0) + value * len(some) / len(part)
            counts += counted(self.maps(self.answer(raw, loss)), some.y.cpu(), self.outputs).sum(0)
        own, right = shares(counts)
        return {**costs, "iou": float(own.nanmean()), "accuracy": float(right),
                **watched(self, lambda: (self.answer(runner.plainly(part.x), loss), self.truth(part, runner.ready)))}

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of probabilities (n, h, w, classes)."""
        return self._result(counted(self.maps(answer), truth, self.outputs))

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        counts = [counted(self.maps(self.answer(runner(some.x, len(part)), loss)), some.y.cpu(), self.outputs) for some in blocks(part)]
        return with_registered(self._result(torch.cat(counts)), self.name, lambda: (self.answer(self.raw(runner, part), loss),
                                                                                    self.truth(part, runner.ready)))

    def _result(self, counts: Tensor) -> Result:
        return segmentation(counts, self.target.classes, task=self.name)

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        return Cases(part.rows, test_set, costs=wrong(self.maps(answer), self.truth(part, runner.ready)), measure="share of pixels wrong")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """How many training pixels have each class, (classes,)."""
        return sum((torch.bincount(some.flatten().long(), minlength=self.outputs) for some in part.y.split(BLOCK_ROWS)),
                   torch.zeros(self.outputs, dtype=torch.int64))

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """The class that most pixels have, everywhere."""
        most, truth = int(constant.argmax()), self.truth(part, ready).cpu()
        return baseline_of(f"always {label(self.target.classes[most])}",
                           self._result(torch.cat([counted(torch.full_like(some, most), some, self.outputs)
                                                   for some in truth.split(BLOCK_ROWS)])))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        shares = constant.float() / constant.sum()
        return shares.expand(*self.truth(part, ready).shape, -1)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.classes, count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """The share of each picture's pixels that are answered to have each class."""
        maps = self.maps(answer).flatten(1)
        return {f"share({name})": (maps == i).double().mean(1).numpy() for i, name in enumerate(self.names(answer.shape[-1]))}


def blocks(part: Part) -> Iterator[Part]:
    """The part in blocks of rows, of which one at a time is answered, since maps are large."""
    return (part.rows_at(begin, begin + BLOCK_ROWS) for begin in range(0, len(part), BLOCK_ROWS))


def counted(answered: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Counts of pixels (n, classes, classes), of the central part of maps (n, height, width) that is answered (n, h, w)."""
    return confusions(answered, central(truth, answered.shape[1:]), classes)


def wrong(answered: Tensor, truth: Tensor) -> Tensor:
    """The share (n,) of pixels of each picture that are answered (n, h, w) and wrong."""
    return (answered != central(truth.cpu(), answered.shape[1:])).flatten(1).double().mean(1)
