"""Language: which symbol comes next, at every step of a text. Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.criterion import Criterion
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.text import as_steps
from chainrule.data.source import Part, Source
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Result
from chainrule.tasks.steps import StepTask, carried, step_costs
from chainrule.tasks.task import Runner


def is_text(source: Source) -> bool:
    """Whether rows are pieces of one text, each with the symbol that follows."""
    return isinstance(source.inputs, Symbols) and source.inputs.next_symbol


@tasks("language", source="Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x", targets=("class", "steps"), usual=is_text,
       steps=True, net="rnn", rule="bptt")
class Language(StepTask):
    """The next symbol; measured by nats a symbol, perplexity and bits. Rows are windows of one text, the state carried between them."""

    name: ClassVar[str] = "language"

    @staticmethod
    def read(source: Source, window: int) -> Source:
        """The text as windows of so many symbols, each with the ones that follow."""
        return as_steps(source, window) if source.target_kind == "class" else source

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        outputs = torch.empty(*part.x.shape[:2], self.outputs)
        for rows, some in carried(runner, part.x):
            outputs[rows] = some.float().cpu()
        return outputs

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        costs, right = step_costs(runner, part, criterion)
        nats = float(costs.mean())
        return {"loss": nats, "perplexity": math.exp(min(nats, 700.0)), "bits": nats / math.log(2),
                "accuracy": float(right.double().mean())}

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        criterion = self.criterion(loss)
        assert criterion is not None
        return self._result(*step_costs(runner, part, criterion), seed)

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        costs = -answer.double().gather(2, truth[..., None]).squeeze(2).clamp(min=1e-300).log()
        return self._result(costs, answer.argmax(-1) == truth, seed)

    def _result(self, costs: Tensor, right: Tensor, seed: int) -> Result:
        nats = costs.mean(1)                                                 # (n,)
        return step_means(self.name, {"nats": nats, "accuracy": right.double().mean(1)},
                          derived={"perplexity": ("nats", math.exp), "bits": ("nats", lambda value: value / math.log(2))})

    def baseline(self, truth: Tensor, count: int) -> tuple[str, Tensor]:
        """The unigram: every symbol as often as in the training text."""
        frequency = torch.bincount(truth.reshape(-1), minlength=self.outputs).double() + 1
        return "unigram", (frequency / frequency.sum()).expand(count, truth.shape[1], -1)
