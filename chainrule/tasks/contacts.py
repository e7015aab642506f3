"""Contacts: which pairs of the residues of a chain touch. Moult et al. (2016), https://doi.org/10.1002/prot.25064"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, Pairwise
from chainrule.core.loss import Loss, identity
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.readers.contacts import NEAREST
from chainrule.data.source import Part, Source
from chainrule.evaluate.contacts import precision
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.classification import probabilities
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Ready, Runner, baseline_of

CASP = "Moult et al. (2016), https://doi.org/10.1002/prot.25064"
SHARES = {"precision_l5": 1 / 5, "precision_l": 1.0}
BLOCK_CHAINS = 16      # answered at once: pairs take the square of a chain's memory
MOST_PAIRS = 2         # times the residues of a chain: so many of its likeliest contacts are written down

for name in SHARES:
    registry.measures(name.replace("_", "-"), source=CASP, better="higher", unit="share")(precision)


def has_pairs(source: Source) -> bool:
    return source.target_kind == "pairs"


@tasks("contacts", source=CASP, targets=("pairs",), usual=has_pairs, net="contactnet")
class Contacts(SampleTask):
    """Which pairs of residues touch; answers are probabilities (n, t, t).

    Measured by the share that touch of the L / 5 and the L most probable pairs at least 24 apart, L the residues of a chain.
    """

    name: ClassVar[str] = "contacts"
    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = "cross-entropy"

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Pairwise(loss)

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        """Outputs (n, classes, t, t), in blocks."""
        blocks = [runner.net(runner.ready(part.x[begin : begin + BLOCK_CHAINS].to(runner.device))).float().cpu()
                  for begin in range(0, len(part), BLOCK_CHAINS)]
        return torch.cat(blocks)

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        raw, truth = self.raw(runner, part), self.truth(part, runner.ready)
        means = {"loss": _mean_loss(raw, truth, loss)} if loss is not None else {}
        answer = self.answer(raw, loss)
        return {**means, **{name: float(precision(answer, truth, share).nanmean()) for name, share in SHARES.items()}}

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return probabilities(raw.movedim(1, -1), False, identity if loss is None else loss.link)[..., 1].cpu()

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Class numbers (n, t, t), below 0 where a pair is not asked for; empty where nothing says."""
        return torch.empty(0) if part.y is None else part.y.cpu()

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        values = {name: precision(answer, truth, share) for name, share in SHARES.items()}
        result = step_means(self.name, {"brier": brier(answer, truth)})
        long = ~next(iter(values.values())).isnan()                                             # chains with pairs far apart
        if bool(long.any()):
            far = step_means(self.name, {name: each[long] for name, each in values.items()})
            result = replace(result, measures={**far.measures, **result.measures})
        return result

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        return Cases(part.rows, test_set, costs=brier(answer, self.truth(part, runner.ready)), measure="brier")

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """Of training pairs, by how far they are apart along the chain, how many touch and how many there are: (2, t)."""
        t = part.y.shape[1]
        apart = (torch.arange(t)[:, None] - torch.arange(t)).abs()
        counts = torch.zeros(2, t, dtype=torch.float64)
        for y in part.y.cpu().split(BLOCK_CHAINS):
            for into, chosen in zip(counts, (y == 1, y >= 0), strict=True):
                into += torch.bincount(apart.expand(len(y), -1, -1)[chosen], minlength=t)
        return counts

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """As often as training pairs so far apart along the chain touch."""
        return baseline_of("how far apart they are",
                           self.measure(self.constantly(constant, part, ready), self.truth(part, ready), seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        t = self.truth(part, ready).shape[1]
        touch, number = (torch.nn.functional.pad(counts, (0, max(t - len(counts), 0))) for counts in constant)
        chances = torch.where(number > 0, touch / number.clamp(min=1), 0.0)
        apart = (torch.arange(t)[:, None] - torch.arange(t)).abs()
        return chances[apart].expand(len(part), -1, -1)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """The likeliest pairs of each chain, twice as many as it has residues, from the likeliest down: i < j, counted from 1."""
        n, t = answer.shape[:2]
        lengths = [t] * n if mask is None else mask.sum(1).tolist()
        rows: list[Tensor] = []
        for row, length in enumerate(lengths):
            first, second = torch.triu_indices(length, length, offset=NEAREST)
            chances = answer[row, first, second]
            best = chances.argsort(descending=True, stable=True)[: MOST_PAIRS * length]
            rows.append(torch.stack([torch.full((len(best),), row + 1.0), first[best] + 1.0, second[best] + 1.0, chances[best]]).double())
        sequence, i, j, chance = torch.cat(rows, 1)
        return {"sequence": sequence.long().numpy(), "i": i.long().numpy(), "j": j.long().numpy(), "probability": chance.numpy()}


def _mean_loss(raw: Tensor, truth: Tensor, loss: Loss) -> float:
    """The mean over residues of what the criterion counts of outputs (n, classes, t, t)."""
    batch = Batch(raw, truth, mask=(truth >= 0).any(2))
    return float(batch.mean(Pairwise(loss).costs(raw, batch)))


def brier(answer: Tensor, truth: Tensor) -> Tensor:
    """The mean squared error (n,) of the probabilities of the pairs that are asked for."""
    asked = truth >= 0
    squared = torch.where(asked, (answer.double() - (truth == 1).double()).square(), 0.0)
    return squared.sum((1, 2)) / asked.sum((1, 2)).clamp(min=1)
