"""Answers to samples: what tasks share that ask one answer of each row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.criterion import Criterion, Supervised
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import Ready, Runner, numbered_names, outputs_of, validation_costs, watched, with_registered


class SampleTask(ABC):
    """A task whose answers are rows (n, k): those of one forward pass, through the link of its loss."""

    name: ClassVar[str]
    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = None
    probabilistic: ClassVar[bool] = False
    consecutive: ClassVar[bool] = False

    def __init__(self, encoder: Encoder):
        self.inputs, self.target = encoder.inputs, encoder.target

    @property
    def outputs(self) -> int:
        return self.target.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        return source

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Supervised(loss)

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return outputs_of(runner, part, expected)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw = outputs_of(runner, part, plainly=True)
        answer, truth = self.answer(raw, loss), self.truth(part, runner.ready).cpu()
        return {**validation_costs(runner, part, criterion, raw), **self.quickly(answer, truth), **watched(self, lambda: (answer, truth))}

    def quickly(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        """Measures that are computed after every epoch, without intervals."""
        return {}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return (raw if loss is None else loss.link(raw)).cpu()

    def truth(self, part: Part, ready: Ready) -> Tensor:
        return torch.empty(0)

    @abstractmethod
    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Measures of answers, with their intervals."""

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        return self.judged(self.answer(self.raw(runner, part), loss), part, runner.ready, seed=seed)

    def judged(self, answer: Tensor, part: Part, ready: Ready, *, seed: int) -> Result:
        """Measures with intervals of answers to a part, however they came about."""
        truth = self.truth(part, ready)
        return with_registered(self.measure(answer, truth, seed=seed), self.name, lambda: (answer, truth))

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases | None:
        return None

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor | None:
        return None

    @abstractmethod
    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """What the constant answer scores on a part, by the same measures."""

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.names, count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        return {name: answer[:, i].numpy() for i, name in enumerate(self.names(answer.shape[1]))}
