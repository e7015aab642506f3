"""Tagging: a label for every step of a sequence, of sequences that differ in length."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.criterion import Criterion
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.core.text import label
from chainrule.data.source import Part, Source
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.steps import ABSENT, StepTask, over_steps
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, validation_costs, watched, with_registered


def has_labels(source: Source) -> bool:
    return source.target_kind == "steps"


@tasks("tagging", source="Qian & Sejnowski (1988), https://doi.org/10.1016/0022-2836(88)90564-5", targets=("steps",), usual=has_labels,
       steps=True, net="rnn", rule="backprop")
class Tagging(StepTask):
    """Which label each step has; measured by the share of steps that are right, and of sequences that are right throughout."""

    name: ClassVar[str] = "tagging"
    watch: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """The source as it is. Raises InputError for pictures of several things, which a net of single ones reads."""
        if isinstance(source.inputs, Tensor) and source.inputs.dim() == 4:
            raise InputError(f"tagging asks for a label at each step of a sequence; {source.name} holds pictures with several things in a "
                             "row. Train on single ones, e.g. chainrule train mnist --net lenet, then chainrule test RUN --on "
                             f"{source.name}.")
        return source

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        begins = range(0, len(part), BLOCK_ROWS)
        blocks = [runner.net(runner.ready(part.x[begin : begin + BLOCK_ROWS].to(runner.device))) for begin in begins]
        return torch.cat([block.float().cpu() for block in blocks])

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw, truth = self.raw(runner, part), self.truth(part, runner.ready)
        present = truth != ABSENT
        accuracy = (raw.argmax(-1) == truth)[present].double().mean()
        return {**validation_costs(runner, part, criterion), "accuracy": float(accuracy),
                **watched(self, lambda: (self.answer(raw, loss), truth))}

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of scores (n, t, classes)."""
        counts = (truth != ABSENT).sum(1)
        shares = over_steps(answer.argmax(-1) == truth, truth)
        result = step_means(self.name, {"accuracy": shares}, weights=counts)
        return replace(result, measures={**result.measures, **step_means(self.name, {"exact": (shares == 1).double()}).measures})

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        raw, truth = self.raw(runner, part), self.truth(part, runner.ready)
        return with_registered(self.measure(raw, truth, seed=seed), self.name, lambda: (self.answer(raw, loss), truth))

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        """The wrong steps of each sequence, so counted that their mean is the share of all steps that are wrong."""
        truth = self.truth(part, runner.ready)
        present = truth != ABSENT
        wrong = (present & (answer.argmax(-1) != truth)).sum(1).double()
        return Cases(part.rows, test_set, costs=wrong * len(part) / present.sum(), measure="share of steps wrong")

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """The label that most steps have."""
        answer, truth = self.constantly(constant, part, ready), self.truth(part, ready)
        return baseline_of(f"always {label(self.target.classes[int(constant.argmax())])}", self.measure(answer, truth, seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return constant.expand(*self.truth(part, ready).shape, -1)
