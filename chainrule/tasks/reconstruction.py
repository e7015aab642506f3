"""Reconstruction: the inputs themselves, through a code; by variational nets with the cost of what the code says beside the prior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities import Variational
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import BLOCK_ROWS, Runner, numbered_names, validation_costs


class Reconstruct:
    """The loss between what a net gives and its inputs (n, ...), of each sample (n,).

    A variational net has two costs: the loss of what is decoded of one draw from the posterior, `reconstruction`, and the `divergence` of
    that posterior from the standard normal prior, in nats: Kingma & Welling (2014), https://arxiv.org/abs/1312.6114, appendix B.
    """

    def __init__(self, loss: Loss):
        self.loss_of_rows = loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        rows = batch.x.flatten(1)                                            # (n, d)
        if not isinstance(net.module, Variational):
            return {"reconstruction": self.loss_of_rows.each(net(batch.x), rows)}
        mean, log_variance = net.call("posterior", batch.x)                  # (n, code)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return {"reconstruction": self.loss_of_rows.each(net.call("decode", code), rows), "divergence": divergence(mean, log_variance)}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each row (n,), in nats, from mean and log variance (n, code)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def learns_from_inputs(source: Source) -> bool:
    return False


@tasks("reconstruction", source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0",
       targets=("none", "class", "real", "sign"), usual=learns_from_inputs, targetless=True, net="autoencoder")
class Reconstruction:
    """The inputs again; answers are rows (n, d) as the net reads them, measured by their squared error."""

    name: ClassVar[str] = "reconstruction"
    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = "squared"

    def __init__(self, encoder: Encoder):
        self.inputs, self.target = encoder.inputs, encoder.target

    @property
    def outputs(self) -> int:
        return math.prod(self.inputs.input_shape)

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @staticmethod
    def read(source: Source, window: int) -> Source:
        return source

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Reconstruct(loss)

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        return runner(part.x, expected)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        squared = self._squared_errors(runner, part, loss)
        return {**validation_costs(runner, part, criterion), "squared_error": float(squared.mean())}

    def _squared_errors(self, runner: Runner, part: Part, loss: Loss | None) -> Tensor:
        """The squared error of each row (n,), over its numbers, in blocks."""
        errors = []
        for begin in range(0, len(part), BLOCK_ROWS):
            x = part.x[begin : begin + BLOCK_ROWS]
            rows = runner.ready(x.to(runner.device)).flatten(1).cpu()
            errors.append((self.answer(runner.plainly(x), loss) - rows).square().sum(1))
        return torch.cat(errors).double() if errors else torch.empty(0, dtype=torch.float64)

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return (raw if loss is None else loss.link(raw)).flatten(1).cpu()

    def truth(self, y: Any) -> Tensor:
        return torch.empty(0)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return measures.density((answer - truth).square().sum(1), name="squared_error")

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        return measures.density(self._squared_errors(runner, part, loss), name="squared_error")

    def outcomes(self, answer: Tensor, truth: Tensor, rows: Tensor, test_set: str) -> Cases:
        return Cases(rows, test_set, squared_errors=(answer - truth).square().sum(1))

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        return "the mean row", truth.double().mean(0, keepdim=True).expand(count, -1)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.inputs.feature_names, count)

    def columns(self, answer: Tensor) -> Mapping[str, Any]:
        return {name: answer[:, i].numpy() for i, name in enumerate(self.names(answer.shape[1]))}
