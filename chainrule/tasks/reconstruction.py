"""Reconstruction: the inputs themselves, through a code; by variational nets with the cost of what the code says beside the prior."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities import Variational
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, validation_costs, watched, with_registered


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
class Reconstruction(SampleTask):
    """The inputs again; answers are rows (n, d) as the net reads them, measured by their squared error."""

    name: ClassVar[str] = "reconstruction"
    loss: ClassVar[str | None] = "squared"

    @property
    def outputs(self) -> int:
        return math.prod(self.inputs.input_shape)

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Reconstruct(loss)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        squared = self._squared_errors(runner, part, loss)
        further = watched(self, lambda: (self.answer(runner.plainly(part.x), loss), self.truth(part, runner.ready)))
        return {**validation_costs(runner, part, criterion), "squared_error": float(squared.mean()), **further}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return super().answer(raw, loss).flatten(1)

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """The rows (n, d) themselves."""
        return torch.cat([ready(rows).flatten(1).cpu() for rows in part.x.split(BLOCK_ROWS)])

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        return _mean_of((answer - truth).square().sum(1))

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        return with_registered(_mean_of(self._squared_errors(runner, part, loss)), self.name,
                               lambda: (self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)))

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        return Cases(part.rows, test_set, costs=_over_blocks(part, runner.ready, answer), measure="mean reconstruction error")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """The mean (d,) of the training rows."""
        total = torch.zeros(self.outputs, dtype=torch.float64)
        for rows in part.x.split(BLOCK_ROWS):
            total += ready(rows).flatten(1).double().sum(0)
        return total / len(part)

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        return baseline_of("always the mean row", _mean_of(_over_blocks(part, ready, constant.expand(len(part), -1))))

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.inputs.feature_names, count)

    def _squared_errors(self, runner: Runner, part: Part, loss: Loss | None) -> Tensor:
        """The squared error of each row (n,), over its numbers, in blocks."""
        errors = []
        for begin in range(0, len(part), BLOCK_ROWS):
            x = part.x[begin : begin + BLOCK_ROWS]
            rows = runner.ready(x.to(runner.device)).flatten(1).cpu()
            errors.append((self.answer(runner.plainly(x), loss) - rows).square().sum(1))
        return torch.cat(errors).double() if errors else torch.empty(0, dtype=torch.float64)


def _over_blocks(part: Part, ready: Ready, answer: Tensor) -> Tensor:
    """The squared error (n,) of answers (n, d) to the rows of a part, in blocks."""
    blocks = zip(part.x.split(BLOCK_ROWS), answer.split(BLOCK_ROWS), strict=True)
    return torch.cat([(some - ready(rows).flatten(1).cpu()).square().sum(1) for rows, some in blocks]).double()


def _mean_of(errors: Tensor) -> Result:
    return measures.density(errors, name="squared_error", task=Reconstruction.name)
