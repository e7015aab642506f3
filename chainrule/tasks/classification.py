"""Classification: one class for each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.loss import Loss, identity, shares
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.core.text import label
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.decision import Threshold, decided
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, baseline_of, numbered_names


def has_classes(source: Source) -> bool:
    return source.target_kind in ("class", "sign")


@tasks("classification", source="Fisher (1936), https://doi.org/10.1111/j.1469-1809.1936.tb02137.x", targets=("class", "sign"),
       usual=has_classes)
class Classification(SampleTask):
    """Which class a sample belongs to; answers are probabilities (n, classes)."""

    name: ClassVar[str] = "classification"
    watch: ClassVar[tuple[str, ...]] = ("accuracy", "loss")
    loss: ClassVar[str | None] = "cross-entropy"
    probabilistic: ClassVar[bool] = True

    def __init__(self, encoder: Encoder, threshold: Threshold | None = None):
        super().__init__(encoder)
        self.threshold = threshold
        self.signed = self.target.kind == "sign"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.target.classes

    def quickly(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        right = answer.argmax(-1) == truth
        return {"accuracy": right.sum().item() / right.numel()}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return probabilities(raw, self.signed, identity if loss is None else loss.link).cpu()

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Class numbers (n,)."""
        numbers: Tensor = ((part.y + 1) / 2).round().long().reshape(-1) if self.signed else part.y
        return numbers

    def decided(self, answer: Tensor) -> Tensor:
        """Class numbers (n,): the likeliest, or what the threshold says."""
        return decided(answer, self.threshold)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        result = measures.classification(answer, truth, self.target.classes, seed=seed, decided=self.decided(answer))
        if self.threshold is None:
            return result
        note = f"'{self.classes[self.threshold.positive]}' is answered from a probability of {self.threshold.value:.4g} on."
        return replace(result, notes=(*result.notes, note))

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        return Cases(part.rows, test_set, right=self.decided(answer) == self.truth(part, runner.ready))

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """How many training samples each class has, (classes,)."""
        return torch.bincount(self.truth(part, ready), minlength=len(self.classes))

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """Always the most frequent class, whatever threshold the net has, as probable as it is frequent."""
        answer, truth = self.constantly(constant, part, ready), self.truth(part, ready)
        result = measures.classification(answer, truth, self.classes, seed=seed)
        return baseline_of(f"always {label(self.classes[int(constant.argmax())])}", result)

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        """Each class as probable as it is frequent."""
        return (constant.double() / constant.sum()).expand(len(part), -1)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.classes, count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """The class answered, then the probability of each."""
        names = self.names(answer.shape[1])
        return {"prediction": [names[i] for i in self.decided(answer).tolist()],
                **{f"p({name})": answer[:, i].numpy() for i, name in enumerate(names)}}


def probabilities(outputs: Tensor, signed: bool, link: Callable[[Tensor], Tensor]) -> Tensor:
    """Class probabilities (n, classes) from the raw scores of a net, `signed` where it gives one for two classes."""
    if signed:
        positive = torch.sigmoid(2 * outputs.reshape(-1))
        return torch.stack([1 - positive, positive], 1)
    return shares(outputs) if link is identity else link(outputs)
