"""Density: how likely a sample is, for nets that model the inputs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities import HasFreeEnergy, HasLogProb
from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.source import Part, Source
from chainrule.evaluate import measures
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, with_registered

LIKELIHOOD = "log_likelihood"
UNNORMALISED = "A free energy is known up to a constant of its net, so no constant answer stands beside it."


def has_no_targets(source: Source) -> bool:
    return source.target_kind == "none"


@tasks("density", source="Parzen (1962), https://doi.org/10.1214/aoms/1177704472", targets=("none",), usual=has_no_targets)
class Density(SampleTask):
    """How likely; answers are the net's outputs (n, k), and each sample's score by its own name."""

    name: ClassVar[str] = "density"

    @property
    def outputs(self) -> int:
        return 0

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        return {}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return raw.cpu()

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of log likelihoods (n, 1)."""
        return measures.density(answer[:, 0], name=LIKELIHOOD)

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        name, each = scores(runner, part)
        result = measures.density(each, name=name)
        if name == "free_energy":
            result = replace(result, notes=(*result.notes, UNNORMALISED))
        return with_registered(result, self.name,
                               lambda: (self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)))

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases | None:
        """Minus the log likelihood of each sample; None where it is known up to a constant of each net, or not at all."""
        name, each = scores(runner, part)
        return Cases(part.rows, test_set, costs=-each, measure="mean negative log likelihood") if name == LIKELIHOOD else None

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor | None:
        """The ends (2, d) of the box that holds the training rows, for nets whose likelihood is known; None where it is flat."""
        if not isinstance(net.module, HasLogProb) or isinstance(net.module, HasFreeEnergy):
            return None
        ends = [torch.stack(ready(rows).flatten(1).double().aminmax(dim=0)) for rows in part.x.split(BLOCK_ROWS)]
        box = torch.stack([torch.stack([e[0] for e in ends]).amin(0), torch.stack([e[1] for e in ends]).amax(0)])
        return box if bool((box[1] > box[0]).all()) else None

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """One density everywhere in the box of the training rows."""
        each = torch.full((len(part), 1), -float((constant[1] - constant[0]).log().sum()), dtype=torch.float64)
        return baseline_of("a constant density", self.measure(each, self.truth(part, ready), seed=seed))

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names((), count)


def scores(runner: Runner, part: Part) -> tuple[str, Tensor]:
    """What a net says of each sample, (n,), by its own name: log likelihood, free energy, or its mean output."""
    module = runner.net.module
    for ability, method, name in ((HasFreeEnergy, "free_energy", "free_energy"), (HasLogProb, "log_prob", LIKELIHOOD)):
        if isinstance(module, ability):
            with torch.no_grad():
                blocks = [runner.net.call(method, runner.ready(rows.to(runner.device))) for rows in part.x.split(BLOCK_ROWS)]
            return name, torch.cat(blocks).cpu()
    return "mean_output", runner(part.x).mean(1).cpu()
