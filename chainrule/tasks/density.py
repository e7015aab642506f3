"""Density: how likely a sample is, or a sequence and each of its steps, for nets that model the inputs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities.densities import AnnealsBackward, HasFreeEnergy, HasLogProb, HasPseudoLikelihood, HasSteps
from chainrule.core.criterion import Criterion
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.core.symbols import known
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.energies import bounded, has_likelihood, independent, likelihoods, of_independent, widened
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, with_registered

LIKELIHOOD = "log_likelihood"
UNNORMALISED = "A free energy is known up to a constant of its net, so no constant answer stands beside it."


def has_no_targets(source: Source) -> bool:
    return source.target_kind == "none"


@tasks("density", source="Parzen (1962), https://doi.org/10.1214/aoms/1177704472", targets=("none",), usual=has_no_targets,
       sequences="hmm")
class Density(SampleTask):
    """How likely; answers are the net's outputs (n, k), or of hidden states (n, t, k), and each sample's score by its own name.

    The likelihood of a sequence is told a step as well, `nats`: minus its log over the steps that exist.
    """

    name: ClassVar[str] = "density"

    @property
    def outputs(self) -> int:
        """How many symbols a net of sequences gives shares to; 0 where rows are of numbers."""
        return len(self.inputs.vocabulary) if self.inputs.vocabulary is not None and not self.inputs.flatten else 0

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        return {}

    @torch.no_grad()
    def watched_on(self, net: Net, x: Tensor) -> dict[str, float]:
        """The mean pseudo-likelihood of rows, rounded to states, where a net's units are binary."""
        module = net.module
        if not (isinstance(module, HasPseudoLikelihood) and module.binary):
            return {}
        return {"pseudo_likelihood": float(net.call("pseudo_likelihood", x.flatten(1).round()).mean())}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return raw.cpu()

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of log likelihoods (n, 1)."""
        return measures.density(answer[:, 0], name=LIKELIHOOD)

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        if has_likelihood(runner.net.module):
            each, estimate, notes = likelihoods(runner, part)
            name, result = LIKELIHOOD, widened(measures.density(each, name=LIKELIHOOD), LIKELIHOOD, estimate, notes)
            if isinstance(runner.net.module, AnnealsBackward) and runner.net.module.partition == "annealed":
                result = bounded(result, runner, part, each + estimate.value)
        else:
            name, each = scores(runner, part)
            result = measures.density(each, name=name)
        if isinstance(runner.net.module, HasSteps):
            of_steps = step_means(self.name, {"nats": -each / (counts := steps(runner, part)).clamp(min=1)}, weights=counts)
            result = replace(result, measures={**of_steps.measures, **result.measures})
        if name == "free_energy":
            result = replace(result, notes=(*result.notes, UNNORMALISED))
        return with_registered(result, self.name,
                               lambda: (self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)))

    def strangeness(self, runner: Runner, part: Part, loss: Loss | None) -> Tensor:
        """How strange rows are, (n,): their free energy, or minus their log likelihood. Raises InputError where neither is known."""
        name, each = scores(runner, part, normalised=False)
        if name not in (LIKELIHOOD, "free_energy"):
            raise InputError("This net says nothing of how likely a row is. Use --net mixture, rbm, vae or autoencoder.")
        return (-each if name == LIKELIHOOD else each).double()

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases | None:
        """Minus the log likelihood of each sample; None where it is known up to a constant of each net, or not at all."""
        name, each = scores(runner, part)
        return Cases(part.rows, test_set, costs=-each, measure="mean negative log likelihood") if name == LIKELIHOOD else None

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor | None:
        """The ends (2, d) of the box that holds the training rows, for nets whose likelihood is known; None where it is flat.

        Of an energy what `independent` units know; of sequences (1, symbols) how often each is there, and once more, or (3, d) how many
        numbers there are, their mean and variance.
        """
        if has_likelihood(net.module):
            return independent(net, part, ready)
        if not isinstance(net.module, HasLogProb) or isinstance(net.module, HasFreeEnergy):
            return None
        if isinstance(net.module, HasSteps):
            blocks = torch.cat([ready(rows).double().flatten(0, 1) for rows in part.x.split(BLOCK_ROWS)])
            return blocks.sum(0, keepdim=True) + 1 if self.outputs else moments(blocks)
        ends = [torch.stack(ready(rows).flatten(1).double().aminmax(dim=0)) for rows in part.x.split(BLOCK_ROWS)]
        box = torch.stack([torch.stack([e[0] for e in ends]).amin(0), torch.stack([e[1] for e in ends]).amax(0)])
        return box if bool((box[1] > box[0]).all()) else None

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """One density everywhere in the box of the training rows; of sequences the unigram, or one Gaussian at every step.

        Beside an energy it is units that do not act on one another.
        """
        if constant.dim() in (1, 3):
            name, each = of_independent(constant, part, ready)
            return baseline_of(name, self.measure(each[:, None], self.truth(part, ready), seed=seed))
        if len(constant) != 2:
            return self._stepwise(constant, part, ready)
        each = torch.full((len(part), 1), -float((constant[1] - constant[0]).log().sum()), dtype=torch.float64)
        return baseline_of("a constant density", self.measure(each, self.truth(part, ready), seed=seed))

    def _stepwise(self, constant: Tensor, part: Part, ready: Ready) -> Baseline:
        """What the same answer at every step scores on sequences."""
        x = torch.cat([ready(rows).double() for rows in part.x.split(BLOCK_ROWS)])                              # (n, t, d)
        if len(constant) == 1:
            name, present = "the unigram", known(x)
            each = x @ (constant[0] / constant.sum()).log()                                                     # (n, t)
        else:
            name, present = "one Gaussian at every step", ~x.isnan().any(2)
            _, mean, variance = constant
            each = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x.nan_to_num()).sum(2)
        counts, total = present.sum(1), torch.where(present, each, 0.0).sum(1)
        of_steps = step_means(self.name, {"nats": -total / counts.clamp(min=1)}, weights=counts)
        return Baseline(name, {**of_steps.measures, **measures.density(total, name=LIKELIHOOD).measures})

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names((), count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """Of hidden states a row for each step that exists: its sequence, its place, and the likeliest state, from 1, with its probability,
        or the mean of each state that is a number.
        """
        if answer.dim() != 3:
            return super().columns(answer, mask)
        rows, places = (answer != 0).any(2).nonzero(as_tuple=True)
        each = answer[rows, places]                                                                             # (steps, states)
        columns: dict[str, Any] = {"sequence": (rows + 1).numpy(), "step": (places + 1).numpy()}
        if bool((each >= 0).all()) and bool((each.sum(1) - 1).abs().lt(1e-3).all()):
            best = each.max(1)
            return {**columns, "state": (best.indices + 1).numpy(), "probability": best.values.numpy()}
        return {**columns, **{f"state_{k + 1}": each[:, k].numpy() for k in range(each.shape[1])}}


def steps(runner: Runner, part: Part) -> Tensor:
    """How many steps (n,) each sequence has, for nets of sequences."""
    present = [runner.net.call("present", runner.ready(rows.to(runner.device))).sum(1).cpu() for rows in part.x.split(BLOCK_ROWS)]
    return torch.cat(present)


def moments(rows: Tensor) -> Tensor:
    """How many steps (n, d) have no gap, their mean and their variance, (3, d); the least variance is that of a millionth."""
    rows = rows[~rows.isnan().any(1)]
    return torch.stack([torch.full_like(rows[0], len(rows)), rows.mean(0), rows.var(0, correction=0).clamp(min=1e-12)])


def scores(runner: Runner, part: Part, normalised: bool = True) -> tuple[str, Tensor]:
    """What a net says of each sample, (n,), by its own name: log likelihood, free energy, or its mean output.

    Those of an energy are likelihoods where its partition function can be had, unless they need not be `normalised`.
    """
    module = runner.net.module
    if normalised and has_likelihood(module):
        return LIKELIHOOD, likelihoods(runner, part)[0]
    for ability, method, name in ((HasFreeEnergy, "free_energy", "free_energy"), (HasLogProb, "log_prob", LIKELIHOOD)):
        if isinstance(module, ability):
            with torch.no_grad():
                blocks = [runner.net.call(method, runner.ready(rows.to(runner.device))) for rows in part.x.split(BLOCK_ROWS)]
            return name, torch.cat(blocks).cpu()
    return "mean_output", runner(part.x).mean(1).cpu()
