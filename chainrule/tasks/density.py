"""Density: how likely a sample is, for nets that model the inputs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities import HasFreeEnergy, HasLogProb
from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import BLOCK_ROWS, Runner, numbered_names


def has_no_targets(source: Source) -> bool:
    return source.target_kind == "none"


@tasks("density", source="Parzen (1962), https://doi.org/10.1214/aoms/1177704472", targets=("none",), usual=has_no_targets)
class Density:
    """How likely; answers are the net's outputs (n, k), and each sample's score by its own name."""

    name: ClassVar[str] = "density"
    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = None

    def __init__(self, encoder: Encoder):
        self.target = encoder.target

    @property
    def outputs(self) -> int:
        return 0

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @staticmethod
    def read(source: Source, window: int) -> Source:
        return source

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return runner(part.x, expected)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        return {}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return raw.cpu()

    def truth(self, y: Any) -> Tensor:
        return torch.empty(0)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return measures.density(answer, name="mean_output")

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        name, each = scores(runner, part)
        return measures.density(each, name=name)

    def outcomes(self, answer: Tensor, truth: Tensor, rows: Tensor, test_set: str) -> Cases:
        return Cases(rows, test_set, squared_errors=-answer)

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        return "none", torch.zeros(count)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names((), count)

    def columns(self, answer: Tensor) -> Mapping[str, Any]:
        return {name: answer[:, i].numpy() for i, name in enumerate(self.names(answer.shape[1]))}


def scores(runner: Runner, part: Part) -> tuple[str, Tensor]:
    """What a net says of each sample, (n,), by its own name: log likelihood, free energy, or its mean output."""
    module = runner.net.module
    for ability, method, name in ((HasFreeEnergy, "free_energy", "free_energy"), (HasLogProb, "log_prob", "log_likelihood")):
        if isinstance(module, ability):
            with torch.no_grad():
                blocks = [runner.net.call(method, runner.ready(rows.to(runner.device))) for rows in part.x.split(BLOCK_ROWS)]
            return name, torch.cat(blocks).cpu()
    return "mean_output", runner(part.x).mean(1).cpu()
