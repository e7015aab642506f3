"""Reconstruction: the inputs themselves, through a code; by variational nets with the cost of what the code says beside the prior."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasCosts, Variational
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, has
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Baseline, Measure, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.prototypes import with_prototypes
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, validation_costs, watched, with_registered

# what losses leave out of minus the log of a likelihood, for each number of a row
CONSTANTS = {"squared": 0.5 * math.log(2 * math.pi), "absolute": math.log(2), "binary-cross-entropy": 0.0}


class Reconstruct:
    """The loss between what a net gives and its inputs (n, ...), of each sample (n,), and what its code costs, see `HasCosts`.

    A variational net has two costs: the loss of what is decoded of one draw from the posterior, `reconstruction`, and beta times the
    `divergence` of that posterior from the standard normal prior, in nats: Kingma & Welling (2014), https://arxiv.org/abs/1312.6114,
    appendix B.
    """

    def __init__(self, loss: Loss):
        self.loss_of_rows = loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        rows = batch.x.flatten(1)                                            # (n, d)
        if has(net.module, HasCosts.with_costs):
            outputs, costs = net.call("with_costs", batch.x)
            return {"reconstruction": self.loss_of_rows.each(outputs, rows), **costs}
        if not isinstance(net.module, Variational):
            return {"reconstruction": self.loss_of_rows.each(net(batch.x), rows)}
        mean, log_variance = net.call("posterior", batch.x)                  # (n, code)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return {"reconstruction": lost(net, self.loss_of_rows, code, rows),
                "divergence": net.module.beta * divergence(mean, log_variance)}


def lost(net: Net, loss: Loss, code: Tensor, rows: Tensor) -> Tensor:
    """The loss (n,) of what a variational net decodes of codes (n, code) for rows (n, d), by the deviations that it has learned.

    Raises InputError for these and another loss than the squared one.
    """
    outputs: Tensor = net.call("decode", code)
    deviations: Tensor | None = net.call("deviations")
    if deviations is None:
        each: Tensor = loss.each(outputs, rows)
        return each
    if loss.name != "squared":
        raise InputError(f"variance=learned is that of Gaussian numbers, whose loss is squared; got {loss.name}. Use --loss squared, or "
                         "leave variance=learned out.")
    apart: Tensor = loss.each(outputs / deviations, rows / deviations)
    return apart + deviations.log().sum()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each row (n,), in nats, from mean and log variance (n, code)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Bounds(NamedTuple):
    """Two bounds from below on the log likelihood of rows (n,), in nats: the evidence, and the importance-weighted one."""

    elbo: Tensor
    importance: Tensor


@torch.no_grad()
def bounds(net: Net, loss: Loss, x: Tensor, rows: Tensor, samples: int, noise: torch.Generator) -> Bounds:
    """Bounds on the log likelihood of rows (n, d), which the net reads as inputs (n, ...), from so many codes of each.

    The evidence bound is the mean over codes of log p(x | z), less the divergence in closed form. The other is the log of the mean of
    p(x, z) / q(z | x): Burda, Grosse & Salakhutdinov (2016), https://arxiv.org/abs/1509.00519, which equals the first in expectation for
    one code and rises to the likelihood. Raises InputError for a loss that is no likelihood.
    """
    if loss.name not in CONSTANTS:
        raise InputError(f"A bound on the likelihood needs a loss that is one: {', '.join(CONSTANTS)}; got {loss.name}.")
    mean, log_variance = net.call("posterior", x)
    total, log_weights = torch.zeros_like(mean[:, 0]), []
    for _ in range(samples):
        drawn = torch.randn(mean.shape, generator=noise, dtype=mean.dtype).to(mean.device)
        code = mean + drawn * (0.5 * log_variance).exp()
        log_likelihood = -lost(net, loss, code, rows) - CONSTANTS[loss.name] * rows.shape[1]
        total += log_likelihood
        prior_less_posterior = 0.5 * (drawn.square() + log_variance - code.square()).sum(1)
        log_weights.append(log_likelihood + prior_less_posterior)
    importance = torch.stack(log_weights).logsumexp(0) - math.log(samples)
    return Bounds(total / samples - divergence(mean, log_variance), importance)


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
        result = _mean_of(self._squared_errors(runner, part, loss))
        if isinstance(runner.net.module, Variational) and loss is not None and loss.name in CONSTANTS:
            result = replace(result, measures={**result.measures, **_bounded(runner, part, loss, seed)})
        result = with_prototypes(result, runner, part, part.y if self.target.kind == "class" else None)
        return with_registered(result, self.name,
                               lambda: (self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)))

    def strangeness(self, runner: Runner, part: Part, loss: Loss | None) -> Tensor:
        """How strange rows are, (n,): minus the bound on their log likelihood, in nats, where there is one, else their squared error."""
        if isinstance(runner.net.module, Variational) and loss is not None and loss.name in CONSTANTS:
            return -_bounds_of(runner, part, loss, 0).importance.double()
        return self._squared_errors(runner, part, loss)

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        return Cases(part.rows, test_set, costs=_over_blocks(part, runner.ready, answer), measure="mean reconstruction error")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """The mean (d,) of the training rows."""
        total = torch.zeros(self.outputs, dtype=torch.float64)
        for rows in part.x.split(BLOCK_ROWS):
            total += ready(rows).flatten(1).double().sum(0)
        return total / len(part)

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        return baseline_of("always the mean row", _mean_of(_over_blocks(part, ready, self.constantly(constant, part, ready))))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        return constant.expand(len(part), -1)

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


def _bounds_of(runner: Runner, part: Part, loss: Loss, seed: int) -> Bounds:
    """The bounds (n,) on the likelihood of the rows of a part; what is drawn follows from the seed."""
    module = runner.net.module
    assert isinstance(module, Variational)
    noise, blocks = torch.Generator().manual_seed(seed), []
    for some in part.x.split(BLOCK_ROWS):
        x = runner.ready(some.to(runner.device))
        blocks.append(bounds(runner.net, loss, x, x.flatten(1), module.samples, noise))
    return Bounds(*(torch.cat(several).cpu() for several in zip(*blocks, strict=True)))


def _bounded(runner: Runner, part: Part, loss: Loss, seed: int) -> dict[str, Measure]:
    """The mean bounds on the likelihood of a part, with intervals."""
    several = _bounds_of(runner, part, loss, seed)
    measured = {"elbo": measures.density(several.elbo, name="elbo").measures["elbo"]}
    if isinstance(runner.net.module, Variational) and runner.net.module.samples > 1:
        measured |= measures.density(several.importance, name="importance_bound").measures
    return measured


def _mean_of(errors: Tensor) -> Result:
    return measures.density(errors, name="squared_error", task=Reconstruction.name)
