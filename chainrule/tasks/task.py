"""What a task is: what is asked of a net, from the costs that are lowered to the answers, measures and columns that users see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, OfOutputs, mean_costs
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import Entry, measures
from chainrule.core.traits import MeasureTraits
from chainrule.data.encode.target_encoder import TargetEncoder
from chainrule.data.source import Part, Source
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases

BLOCK_ROWS = 250  # a forward pass of more holds more memory than a step, and is hardly faster

Ready = Callable[[Tensor], Tensor]  # what a net reads of stored inputs, (n, ...) -> (n, ...)


class Runner(Protocol):
    """What runs rows through a net: `plainly` as it is now, calling it in the fastest measured way; both (n, ...) -> (n, ...)."""

    net: Net
    device: torch.device
    ready: Ready

    def plainly(self, x: Any) -> Tensor: ...

    def __call__(self, x: Any, expected: int | None = None) -> Tensor: ...


def ready_blocks(runner: Runner, part: Part) -> Iterator[Tensor]:
    """The inputs of a part as the net reads them, on its device, `BLOCK_ROWS` rows at a time."""
    for begin in range(0, len(part), BLOCK_ROWS):
        yield runner.ready(part.x[begin : begin + BLOCK_ROWS].to(runner.device))


class Task(Protocol):
    """One kind of question. It is made with the encoder of its data; `watch` decides which weights are best.

    Raw outputs are what the net gives, answers are what users read: probabilities, numbers in their units, strings.
    """

    name: ClassVar[str]
    watch: ClassVar[tuple[str, ...]]
    loss: ClassVar[str | None]        # the usual one
    probabilistic: ClassVar[bool]     # whether answers are probabilities of classes
    consecutive: ClassVar[bool]       # whether rows follow one another, so that answers to some depend on those before them
    target: TargetEncoder             # fitted on training rows

    @property
    def outputs(self) -> int:
        """How many numbers a net must give, for each sample or each step."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes whose probabilities the answers to samples are; empty for other answers."""
        ...

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """The source as this task reads it, a long sequence in windows of so many steps; without `targets` rows to answer to.

        Raises InputError for one that it cannot read.
        """
        ...

    def criterion(self, loss: Loss | None) -> Criterion | None:
        """The costs that are lowered; None where the rule brings its own."""
        ...

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        """The net's outputs for a part, in the fastest way where `expected` rows, or these, are many."""
        ...

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        """The mean cost and the quick measures of the net as it is now."""
        ...

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        """What the net's outputs say, on the CPU."""
        ...

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """What the answers to a part should be, in their form; empty where nothing says."""
        ...

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Measures with intervals."""
        ...

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        """Measures with intervals of the net on a part."""
        ...

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases | None:
        """What each case contributes, as paired tests need it; None where nets cannot be compared by their answers."""
        ...

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor | None:
        """What a constant answer is made of, from the training part; None where there is none."""
        ...

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """What the constant answer scores on a part, by the same measures."""
        ...

    def names(self, count: int) -> tuple[str, ...]:
        """What `count` columns of answers are called."""
        ...

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """Answers as named columns on disk; of steps those that `mask` (n, t) says exist."""
        ...


def numbered_names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`names` where there are as many, else outputs by number."""
    return names if len(names) == count else tuple(f"output_{i}" for i in range(count))


def batch_of(part: Part, device: torch.device, x: Tensor | None = None) -> Batch:
    """The part as one batch on a device, its inputs replaced by `x`."""
    inputs = part.x[:].to(device) if x is None else x
    batch: Batch = Batch(inputs, part.y, part.weight, part.mask)
    return batch.map(lambda t: t.to(device))


def outputs_of(runner: Runner, part: Part, expected: int | None = None, plainly: bool = False) -> Tensor:
    """A net's outputs (n, k) for a part; those of an ensemble whose mask (n, members) says who answers are the mean over these members."""
    if part.mask is None:
        return runner.plainly(part.x) if plainly else runner(part.x, expected)
    answers = []
    for begin in range(0, len(part), BLOCK_ROWS):
        rows = part.rows_at(begin, begin + BLOCK_ROWS)
        with torch.no_grad():
            outputs = runner.net.call("members", runner.ready(rows.x[:].to(runner.device)))    # (n, members, k)
        assert rows.mask is not None
        share = rows.mask.to(outputs)[:, :, None]
        answers.append((outputs * share).sum(1) / share.sum(1))
    return torch.cat(answers)


@torch.no_grad()
def validation_costs(runner: Runner, part: Part, criterion: Criterion, raw: Tensor | None = None) -> dict[str, float]:
    """The mean costs of a part, `loss` their sum: of its raw outputs where they are known, else in blocks through the criterion."""
    if raw is not None and isinstance(criterion, OfOutputs):
        batch = batch_of(part, runner.device, raw)
        _, report = mean_costs({"loss": criterion.costs(raw, batch)}, batch)
        return {name: float(value) for name, value in report.items()}
    totals: dict[str, float] = {}
    count = 0.0
    for begin in range(0, len(part), BLOCK_ROWS):
        rows = part.rows_at(begin, begin + BLOCK_ROWS)
        batch = batch_of(rows, runner.device, runner.ready(rows.x[:].to(runner.device)))
        _, report = mean_costs(criterion(runner.net, batch), batch)
        size = float(batch.size())
        count += size
        for name, value in report.items():
            totals[name] = totals.get(name, 0.0) + size * float(value)
    return {name: total / max(count, 1.0) for name, total in totals.items()}


def registered(task: str) -> list[Entry[MeasureTraits]]:
    """The measures `measure(answer, truth)` (n,) of each case that are registered for a task."""
    return [entry for entry in measures.entries() if entry.traits.task == task]


def with_registered(result: Result, task: str, answers: Callable[[], tuple[Tensor, Tensor]]) -> Result:
    """The result with the mean, and its interval, of every measure that is registered for a task; `answers` gives answers and truth."""
    further = registered(task)
    if not further:
        return result
    answer, truth = answers()
    own = step_means(task, {entry.name: entry.make(answer, truth) for entry in further}).measures
    return replace(result, measures={**result.measures, **own})


def watched(task: Task, answers: Callable[[], tuple[Tensor, Tensor]]) -> dict[str, float]:
    """The mean of every registered measure by which a task decides which weights are best."""
    wanted = [entry for entry in registered(task.name) if entry.name in task.watch]
    if not wanted:
        return {}
    answer, truth = answers()
    return {entry.name: float(entry.make(answer, truth).double().mean()) for entry in wanted}


def baseline_of(name: str, result: Result) -> Baseline:
    """A constant answer by its name and what it scores over all classes and targets."""
    return Baseline(name, {key: m for key, m in result.measures.items() if not key.endswith("]")})
