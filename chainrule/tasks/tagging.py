"""Tagging: a label for every step of a sequence, of sequences that differ in length."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.data.source import Part, Source
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Result
from chainrule.tasks.steps import StepTask
from chainrule.tasks.task import BLOCK_ROWS, Runner, validation_costs


def has_labels(source: Source) -> bool:
    return source.target_kind == "steps"


@tasks("tagging", source="Qian & Sejnowski (1988), https://doi.org/10.1016/0022-2836(88)90564-5", targets=("steps",), usual=has_labels,
       steps=True, net="rnn", rule="backprop")
class Tagging(StepTask):
    """Which label each step has; measured by the share of steps that are right, and of sequences that are right throughout."""

    name: ClassVar[str] = "tagging"
    watch: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    @staticmethod
    def read(source: Source, window: int) -> Source:
        return source

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        begins = range(0, len(part), BLOCK_ROWS)
        blocks = [runner.net(runner.ready(part.x[begin : begin + BLOCK_ROWS].to(runner.device))) for begin in begins]
        return torch.cat([block.float().cpu() for block in blocks])

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw = self.raw(runner, part)
        right = (raw.argmax(-1) == part.y).double()
        accuracy = Batch(part.x[:], mask=part.mask).mean(right)
        return {**validation_costs(runner, part, criterion), "accuracy": float(accuracy)}

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        right = (self.raw(runner, part).argmax(-1) == part.y).double()
        counts = torch.full((len(part),), right.shape[1]) if part.mask is None else part.mask.sum(1)
        shares = (right if part.mask is None else torch.where(part.mask, right, 0.0)).sum(1) / counts.clamp(min=1)
        result = step_means(self.name, {"accuracy": shares}, weights=counts)
        return replace(result, measures={**result.measures, **step_means(self.name, {"exact": (shares == 1).double()}).measures})

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return step_means(self.name, {"accuracy": (answer.argmax(-1) == truth).double().mean(1)})

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        frequency = torch.bincount(truth.reshape(-1), minlength=self.outputs).double()
        name = self.target.classes[int(frequency.argmax())]
        return f"always {name}", (frequency / frequency.sum()).expand(count, truth.shape[1], -1)
