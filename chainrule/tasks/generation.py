"""Generation: further rows of the same kind, by nets that make samples and give no likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.abilities.nets import PlaysGame, Samples, SamplesGiven
from chainrule.core.criterion import Criterion
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.source import Part, Source
from chainrule.evaluate import generation as judging
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, baseline_of, numbered_names, with_registered

MOST = 2000             # rows, and samples, that are held against each other
HALVES = {"minimax": 0.0, "non-saturating": 0.0, "least-squares": 0.5}     # the score from which on a row is called real


def never(source: Source) -> bool:
    return False


@tasks("generation", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661", targets=("none", "class", "real", "sign"),
       usual=never, targetless=True, net="gan")
class Generation(SampleTask):
    """Samples like the rows. Answers to rows are scores (n, 1) of how real they look; what is measured are as many samples as rows.

    `coverage` is the share of rows that have a sample at least as near as their fifth neighbour, `precision` the share of samples that are
    so near to some row, `clusters` the share of ten clusters of the rows that samples reach; where scores have a middle,
    `discriminator_accuracy` is how often it tells rows from samples, one half where it cannot.
    """

    name: ClassVar[str] = "generation"
    watch: ClassVar[tuple[str, ...]] = ("coverage", "precision")

    @property
    def outputs(self) -> int:
        """How many classes a sample may be asked of; 0 where there are none."""
        return len(self.target.classes) if self.target.kind == "class" else 0

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        return self.quick_of_samples(runner, part)

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """The rows (n, d) themselves."""
        return torch.cat([ready(rows).flatten(1).cpu() for rows in part.x.split(BLOCK_ROWS)])

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of samples (m, d) in place of answers, beside the rows (n, d)."""
        rows, samples = truth[:MOST].float(), answer[:MOST].float()
        own = step_means(self.name, {"coverage": judging.covered(rows, samples).double()})
        further = step_means(self.name, {"precision": judging.faithful(rows, samples).double()})
        reached = judging.reached(judging.centres_of(rows), rows, samples).double()
        clusters = step_means(self.name, {"clusters": reached})
        return replace(own, measures={**own.measures, **further.measures, **clusters.measures})

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        rows = part.rows_at(0, MOST)
        samples = drawn_like(runner, rows, seed)
        result = self.measure(samples, self.truth(rows, runner.ready), seed=seed)
        right = self._told_apart(runner, rows, samples)
        if right is not None:
            result = replace(result, measures={**result.measures, **step_means(self.name, {"discriminator_accuracy": right}).measures})
        return with_registered(result, self.name, lambda: (samples, self.truth(rows, runner.ready)))

    def quick_of_samples(self, runner: Runner, part: Part) -> dict[str, float]:
        """The same measures without intervals, and how near samples are to the centres of clusters of rows, by the rows themselves."""
        few = part.rows_at(0, MOST // 2)
        samples, rows = drawn_like(runner, few, None), self.truth(few, runner.ready)
        centres = judging.centres_of(rows)
        right = self._told_apart(runner, few, samples)
        accuracy = {} if right is None else {"discriminator_accuracy": float(right.mean())}
        return {"coverage": float(judging.covered(rows, samples).double().mean()),
                "precision": float(judging.faithful(rows, samples).double().mean()),
                "clusters": float(judging.reached(centres, rows, samples).double().mean()), **accuracy,
                "spread": judging.beside_centres(centres, rows, samples)}

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """The mean and the standard deviation (2, d) of the training rows."""
        count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for rows in part.x.split(BLOCK_ROWS):
            block = ready(rows).flatten(1).double().cpu()
            count, total, squares = count + len(block), total + block.sum(0), squares + block.square().sum(0)
        mean = total / count
        return torch.stack([mean, (squares / count - mean.square()).clamp(min=0).sqrt()])

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """Samples of a Gaussian with the mean and the deviation of each number of the training rows."""
        rows = self.truth(part.rows_at(0, MOST), ready)
        random = torch.Generator().manual_seed(seed)
        samples = constant[0] + constant[1] * torch.randn(rows.shape, generator=random, dtype=torch.float64)
        return baseline_of("one Gaussian for each number", self.measure(samples, rows, seed=seed))

    def names(self, count: int) -> tuple[str, ...]:
        return ("score",) if count == 1 else numbered_names((), count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        return {name: answer[:, i].numpy() for i, name in enumerate(self.names(answer.shape[1]))}

    def _told_apart(self, runner: Runner, part: Part, samples: Tensor) -> Tensor | None:
        """Whether the net calls rows real (n,) and samples made (n,), together (2 n,); None where its scores have no middle."""
        module = runner.net.module
        middle = HALVES.get(module.form) if isinstance(module, PlaysGame) else None
        if middle is None:
            return None
        scores = []
        with torch.no_grad():
            for begin in range(0, len(part), BLOCK_ROWS):
                rows = part.rows_at(begin, begin + BLOCK_ROWS)
                labels = labels_of(runner, rows)
                both = runner.ready(rows.x[:].to(runner.device)), samples[begin : begin + BLOCK_ROWS].to(runner.device)
                scores += [runner.net.call("judge", x, *labels).squeeze(-1).cpu() for x in both]
        real, generated = torch.cat(scores[::2]), torch.cat(scores[1::2])
        return torch.cat([real > middle, generated <= middle]).double()


def labels_of(runner: Runner, part: Part) -> tuple[Tensor, ...]:
    """The classes (n,) of the rows of a part, where the net is told classes."""
    module = runner.net.module
    return (part.y.to(runner.device),) if isinstance(module, PlaysGame) and module.labels else ()


@torch.no_grad()
def drawn_like(runner: Runner, part: Part, seed: int | None) -> Tensor:
    """As many samples (n, d) as a part has rows, of their classes where the net is told classes; by a seed of their own, or as it comes.

    Raises InputError for a net that makes none.
    """
    module = runner.net.module
    if not isinstance(module, Samples):
        raise InputError(f"{type(module).__name__} answers and makes no samples. Use --net gan, or another --task.")
    devices = [runner.device] if runner.device.type == "cuda" else []
    with torch.random.fork_rng(devices, enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        labels = labels_of(runner, part)
        drawn = module.sample_given(labels[0]) if labels and isinstance(module, SamplesGiven) else module.sample(len(part))
    return drawn.flatten(1).cpu()
