"""Regression: numbers for each sample, in the units of the data."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.encode.lagged import Lagged
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases, squared_costs
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, baseline_of


def has_numbers(source: Source) -> bool:
    return source.target_kind == "real" and not isinstance(source.inputs, Lagged)


@tasks("regression", source="Gauss (1809), Theoria motus", targets=("real",), usual=has_numbers)
class Regression(SampleTask):
    """How much; answers are values (n, k) in the targets' own units."""

    name: ClassVar[str] = "regression"
    loss: ClassVar[str | None] = "squared"

    def quickly(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        return measures.quick_regression(answer, truth)

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        numbers = super().answer(raw, loss)
        return self.target.unscale(numbers[:, None] if numbers.dim() == 1 else numbers)          # a net may answer (n,)

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Targets (n, k) in their own units."""
        return self.target.unscale(part.y)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return measures.regression(answer, truth, self.target.names)

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        costs, measure = squared_costs(answer, self.truth(part, runner.ready))
        return Cases(part.rows, test_set, costs=costs, measure=measure)

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """The mean (k,) of the training targets."""
        return self.truth(part, ready).double().reshape(len(part), -1).mean(0)

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        return baseline_of("always the mean", self.measure(self.constantly(constant, part, ready), self.truth(part, ready), seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return constant.expand(len(part), -1)
