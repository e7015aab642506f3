"""Classification: one class for each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.criterion import Criterion, Supervised
from chainrule.core.loss import Loss, identity, shares
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import Runner, numbered_names, validation_costs, with_registered


def has_classes(source: Source) -> bool:
    return source.target_kind in ("class", "sign")


@tasks("classification", source="Fisher (1936), https://doi.org/10.1111/j.1469-1809.1936.tb02137.x", targets=("class", "sign"),
       usual=has_classes)
class Classification:
    """Which class a sample belongs to; answers are probabilities (n, classes)."""

    name: ClassVar[str] = "classification"
    watch: ClassVar[tuple[str, ...]] = ("accuracy", "loss")
    loss: ClassVar[str] = "cross-entropy"

    def __init__(self, encoder: Encoder):
        self.target = encoder.target
        self.signed = self.target.kind == "sign"

    @property
    def outputs(self) -> int:
        return 1 if self.signed else len(self.target.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.target.classes

    @staticmethod
    def read(source: Source, window: int) -> Source:
        return source

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Supervised(loss)

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return runner(part.x, expected)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw = runner.plainly(part.x)
        right = self.answer(raw, loss).argmax(-1) == self.truth(part.y).to("cpu")
        return {**validation_costs(runner, part, criterion, raw), "accuracy": right.sum().item() / right.numel()}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return probabilities(raw, self.signed, identity if loss is None else loss.link).cpu()

    def truth(self, y: Any) -> Tensor:
        """Class numbers (n,)."""
        numbers: Tensor = ((y + 1) / 2).round().long().reshape(-1) if self.signed else y
        return numbers

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return measures.classification(answer, truth, self.target.classes, seed=seed)

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        answer, truth = self.answer(self.raw(runner, part), loss), self.truth(part.y)
        return with_registered(self.measure(answer, truth, seed=seed), self.name, answer, truth)

    def outcomes(self, answer: Tensor, truth: Tensor, rows: Tensor, test_set: str) -> Cases:
        return Cases(rows, test_set, right=answer.argmax(1) == truth)

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        """The shares of the classes: it answers the most frequent one."""
        frequency = torch.bincount(truth, minlength=len(self.target.classes)).double() / max(len(truth), 1)
        return f"always {self.target.classes[int(frequency.argmax())]}", frequency.expand(count, -1)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.classes, count)

    def columns(self, answer: Tensor) -> Mapping[str, Any]:
        """The likeliest class, then the probability of each."""
        names = self.names(answer.shape[1])
        return {"prediction": [names[i] for i in answer.argmax(1).tolist()],
                **{f"p({name})": answer[:, i].numpy() for i, name in enumerate(names)}}


def probabilities(outputs: Tensor, signed: bool, link: Callable[[Tensor], Tensor]) -> Tensor:
    """Class probabilities (n, classes) from the raw scores of a net, `signed` where it gives one for two classes."""
    if signed:
        positive = torch.sigmoid(2 * outputs.reshape(-1))
        return torch.stack([1 - positive, positive], 1)
    return shares(outputs) if link is identity else link(outputs)
