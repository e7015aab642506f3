"""Regression: numbers for each sample, in the units of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from chainrule.core.criterion import Criterion, Supervised
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import Runner, numbered_names, validation_costs, with_registered


def has_numbers(source: Source) -> bool:
    return source.target_kind == "real"


@tasks("regression", source="Gauss (1809), Theoria motus", targets=("real",), usual=has_numbers)
class Regression:
    """How much; answers are values (n, k) in the targets' own units."""

    name: ClassVar[str] = "regression"
    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str] = "squared"

    def __init__(self, encoder: Encoder):
        self.target = encoder.target

    @property
    def outputs(self) -> int:
        return self.target.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @staticmethod
    def read(source: Source, window: int) -> Source:
        return source

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Supervised(loss)

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return runner(part.x, expected)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw = runner.plainly(part.x)
        brief = measures.quick_regression(self.answer(raw, loss), self.truth(part.y))
        return {**validation_costs(runner, part, criterion, raw), **brief}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        linked = raw if loss is None else loss.link(raw)
        return self.target.unscale(linked.cpu())

    def truth(self, y: Any) -> Tensor:
        """Targets (n, k) in their own units."""
        return self.target.unscale(y)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return measures.regression(answer, truth, self.target.names)

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        answer, truth = self.answer(self.raw(runner, part), loss), self.truth(part.y)
        return with_registered(self.measure(answer, truth, seed=seed), self.name, answer, truth)

    def outcomes(self, answer: Tensor, truth: Tensor, rows: Tensor, test_set: str) -> Cases:
        return Cases(rows, test_set, squared_errors=(answer - truth).square().mean(1))

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        return "the mean", truth.double().mean(0, keepdim=True).expand(count, -1).to(truth.dtype)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.names, count)

    def columns(self, answer: Tensor) -> Mapping[str, Any]:
        return {name: answer[:, i].numpy() for i, name in enumerate(self.names(answer.shape[1]))}
