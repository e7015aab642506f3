"""Answers at every step of a sequence: carried state, costs a step, and what language and tagging share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.abilities import Recurrent
from chainrule.core.criterion import Criterion, OfOutputs, Stepwise
from chainrule.core.loss import Loss
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part
from chainrule.evaluate.significance import Cases
from chainrule.tasks.task import BLOCK_ROWS, Runner, batch_of, numbered_names

LANES = 16  # in which a long sequence is read when it is measured: each begins with the net's initial state


class StepTask:
    """What tasks with an answer at each step share: a class for each step, raw outputs (n, t, classes)."""

    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = "cross-entropy"

    def __init__(self, encoder: Encoder):
        self.target = encoder.target

    @property
    def outputs(self) -> int:
        return len(self.target.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """None: answers are of steps, not of samples."""
        return ()

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Stepwise(loss)

    def truth(self, y: Any) -> Tensor:
        """Class numbers (n, t)."""
        numbers: Tensor = y
        return numbers

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        """Probabilities (n, t, classes)."""
        return raw.float().softmax(-1).cpu()

    def outcomes(self, answer: Tensor, truth: Tensor, rows: Tensor, test_set: str) -> Cases:
        return Cases(rows, test_set, squared_errors=-answer.gather(2, truth[..., None]).squeeze(2).clamp(min=1e-30).log().mean(1))

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.classes, count)

    def columns(self, answer: Tensor) -> Mapping[str, Any]:
        """A row for each step: its sequence, its place in it, the likeliest class and how probable that is."""
        n, t = answer.shape[:2]
        best = answer.max(-1)
        names = self.names(answer.shape[2])
        return {"sequence": torch.arange(1, n + 1).repeat_interleave(t).numpy(), "step": torch.arange(1, t + 1).repeat(n).numpy(),
                "prediction": [names[i] for i in best.indices.reshape(-1).tolist()], "probability": best.values.reshape(-1).numpy()}


def carried(runner: Runner, x: Any, lanes: int = LANES) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Outputs of a long sequence given as windows (n, t) in their order, with the rows that they are of, the state carried between them.

    The windows are read in `lanes` at once, each lane of neighbours beginning with the net's initial state; what is left over at the end
    goes on from the last lane's. A net without memory reads each window by itself.
    """
    net, module = runner.net, runner.net.module
    if not isinstance(module, Recurrent):
        for begin in range(0, len(x), BLOCK_ROWS):
            rows = slice(begin, min(begin + BLOCK_ROWS, len(x)))
            yield rows, net(runner.ready(x[rows].to(runner.device)))
        return
    lanes = max(1, min(lanes, len(x)))
    length = len(x) // lanes
    state = net.call("initial", lanes)
    for k in range(length):
        at = torch.arange(lanes) * length + k
        outputs, state = net.call("unroll", runner.ready(x[at].to(runner.device)), state)
        yield at, outputs
    last = pytree.tree_map(lambda t: t[-1:], state)
    for row in range(lanes * length, len(x)):
        outputs, last = net.call("unroll", runner.ready(x[row : row + 1].to(runner.device)), last)
        yield slice(row, row + 1), outputs


@torch.no_grad()
def step_costs(runner: Runner, part: Part, criterion: Criterion, lanes: int = LANES) -> tuple[Tensor, Tensor]:
    """The cost (n, t) of every step of a part, and whether the likeliest class is the right one (n, t)."""
    assert isinstance(criterion, OfOutputs)
    batch = batch_of(part, torch.device("cpu"))
    costs = torch.empty(batch.y.shape, dtype=torch.float64)
    right = torch.empty(batch.y.shape, dtype=torch.bool)
    for rows, outputs in carried(runner, part.x, lanes):
        some = batch.map(lambda t, rows=rows: t[rows].to(runner.device))  # type: ignore[misc]
        costs[rows] = criterion.costs(outputs, some).double().cpu()
        right[rows] = (outputs.argmax(-1) == some.y).cpu()
    return costs, right
