"""Answers at every step of a sequence: carried state, costs a step, and what language and tagging share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from chainrule.core.abilities.sequences import Recurrent
from chainrule.core.criterion import Criterion, Stepwise
from chainrule.core.loss import Loss, identity, softmax
from chainrule.core.net import Net
from chainrule.data.encode.encoder import Encoder
from chainrule.data.source import Part
from chainrule.tasks.classification import probabilities
from chainrule.tasks.task import BLOCK_ROWS, Ready, Runner, numbered_names

ABSENT = -1  # stands in the truth for a step that does not exist


class StepTask:
    """What tasks with an answer at each step share: a class for each step, raw outputs (n, t, classes)."""

    watch: ClassVar[tuple[str, ...]] = ("loss",)
    loss: ClassVar[str | None] = "cross-entropy"
    probabilistic: ClassVar[bool] = True
    consecutive: ClassVar[bool] = False

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

    def truth(self, part: Part, ready: Ready) -> Tensor:
        """Class numbers (n, t), -1 at steps that do not exist."""
        numbers: Tensor = part.y if part.mask is None else torch.where(part.mask, part.y, ABSENT)
        return numbers

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        """Probabilities (n, t, classes)."""
        return probabilities(raw, False, identity if loss is None else loss.link).cpu()

    def constant(self, net: Net, part: Part, ready: Ready) -> Tensor:
        """How many training steps have each class, (classes,)."""
        truth = self.truth(part, ready)
        return torch.bincount(truth[truth != ABSENT], minlength=self.outputs)

    def names(self, count: int) -> tuple[str, ...]:
        return numbered_names(self.target.classes, count)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """A row for each step: its sequence, its place in it, the likeliest class and how probable that is."""
        n, t = answer.shape[:2]
        present = torch.ones(n, t, dtype=torch.bool) if mask is None else mask
        rows, steps = present.nonzero(as_tuple=True)
        best = answer[present].max(-1)
        names = self.names(answer.shape[2])
        return {"sequence": (rows + 1).numpy(), "step": (steps + 1).numpy(), "prediction": [names[i] for i in best.indices.tolist()],
                "probability": best.values.numpy()}


def over_steps(values: Tensor, truth: Tensor) -> Tensor:
    """The mean (n,) of values (n, t) over the steps of each sequence that exist, 0 where it has none."""
    present = truth != ABSENT
    return torch.where(present, values.double(), 0.0).sum(1) / present.sum(1).clamp(min=1)


def nats(outputs: Tensor, y: Tensor, loss: Loss | None) -> Tensor:
    """Minus the log (n, t) of the probability that a net's outputs (n, t, classes) give the classes y (n, t), whatever its loss."""
    if loss is None or loss.link is not softmax:
        shares = probabilities(outputs, False, identity if loss is None else loss.link)
        return -shares.gather(-1, y[..., None]).squeeze(-1).double().clamp(min=1e-300).log()
    costs: Tensor = F.cross_entropy(outputs.flatten(0, -2).float(), y.flatten(), reduction="none").unflatten(0, y.shape)
    return costs.double()


@torch.no_grad()
def carried(runner: Runner, x: Any, lanes: int = 1) -> Iterator[tuple[slice | Tensor, Tensor]]:
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


def of_steps(runner: Runner, part: Part, kinds: Mapping[str, Callable[[Tensor, Any], Tensor]], lanes: int = 1) -> dict[str, Tensor]:
    """What is computed of the outputs for each window and its batch, float64 (n, t) by name, the state carried from window to window."""
    found = {name: torch.empty(part.x.shape[:2], dtype=torch.float64) for name in kinds}
    for rows, outputs in carried(runner, part.x, lanes):
        y = part.y[rows].to(runner.device)
        for name, compute in kinds.items():
            found[name][rows] = compute(outputs, y).double().cpu()
    return found
