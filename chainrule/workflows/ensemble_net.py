"""Several trained nets as one module: joined by mean, product or vote, or summed as boosting sums them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from chainrule.core.abilities.sequences import Recurrent
from chainrule.core.loss import identity
from chainrule.evaluate.combination import joined, shares
from chainrule.job.trained import Trained
from chainrule.tasks.classification import probabilities

Read = Callable[[Tensor], Tensor]


class Panel(nn.Module):
    """Nets joined by mean, product or vote: (n, ...) -> log probabilities (n, classes) or (n, t, classes), or values (n, k).

    Where targets are signs, `signed`, it is half the log-odds of the second class (n, 1).
    """

    share: Tensor

    def __init__(self, members: Sequence[nn.Module], read: Sequence[Read], by: str, weights: Sequence[float] | None, classes: bool,
                 signed: bool):
        super().__init__()
        self.members, self.read, self.by = nn.ModuleList(members), list(read), by
        self.register_buffer("share", shares(weights, len(members)).float())        # (members,)
        self.classes, self.signed = classes, signed

    def each(self, x: Tensor) -> Tensor:
        """What every member says: probabilities or values (members, n, k)."""
        return torch.stack([read(member(x)) for member, read in zip(self.members, self.read, strict=True)])

    def forward(self, x: Tensor) -> Tensor:
        return self.together(self.each(x))

    def together(self, each: Tensor) -> Tensor:
        """What the answers of all members (members, n, ...) are as one."""
        answers = joined(each, self.by, self.share)
        if not self.classes:
            return answers
        log = answers.clamp(min=torch.finfo(answers.dtype).tiny).log()
        return 0.5 * (log[:, 1:] - log[:, :1]) if self.signed else log


class RecurrentPanel(Panel):
    """Nets with memory joined: their states side by side, and at every step what they say together; (n, t, d) -> (n, t, classes)."""

    def initial(self, rows: int) -> tuple[Any, ...]:
        """The states of all members before a sequence."""
        return tuple(cast(Recurrent, member).initial(rows) for member in self.members)

    def unroll(self, x: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Log probabilities (n, t, classes), and the members' states after them."""
        after = [cast(Recurrent, member).unroll(x, own) for member, own in zip(self.members, state, strict=True)]
        answers = torch.stack([read(outputs) for read, (outputs, _) in zip(self.read, after, strict=True)])
        return self.together(answers), tuple(own for _, own in after)


class Additive(nn.Module):
    """A start plus steps along what each net gives, as gradient boosting sums them: (n, ...) -> (n, outputs).

    The nets were fitted to standardised targets: `scale` and `shift` (members, outputs) undo it.
    """

    start: Tensor
    scale: Tensor
    shift: Tensor
    steps: Tensor

    def __init__(self, members: Sequence[nn.Module], start: Tensor, scale: Tensor, shift: Tensor, steps: Tensor, read: Read):
        super().__init__()
        self.members, self.read = nn.ModuleList(members), read
        for name, tensor in (("start", start), ("scale", scale), ("shift", shift), ("steps", steps)):
            self.register_buffer(name, tensor.float())

    def moves(self, x: Tensor) -> Tensor:
        """What each round adds: (members, n, outputs)."""
        return torch.stack([step * (member(x) * scale + shift) for member, scale, shift, step
                            in zip(self.members, self.scale, self.shift, self.steps, strict=True)])

    def each(self, x: Tensor) -> Tensor:
        """Probabilities or values after each round: (members, n, k)."""
        return self.read(self.start + self.moves(x).cumsum(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.start + self.moves(x).sum(0)


def ensemble_net(record: dict[str, Any], several: Sequence[Trained], classes: bool, signed: bool) -> nn.Module:
    """The members as one module, as the record of a committee says how: `classes` and `signed` of what they answer together."""
    modules = [one.net.module for one in several]
    if record["how"] == "gradient":
        scale, shift = _scales(several)
        read: Read = partial(torch.softmax, dim=-1) if classes else identity
        return Additive(modules, torch.tensor(record["start"]), scale, shift, torch.tensor(record["steps"]), read)
    kind = RecurrentPanel if all(isinstance(module, Recurrent) for module in modules) else Panel
    return kind(modules, [_reading(one) for one in several], record["by"], record["weights"], classes, signed)


def _reading(trained: Trained) -> Read:
    """What makes a member's raw scores probabilities, or values; it holds none of its data, so that a panel can be copied."""
    assert trained.loss is not None
    link = trained.loss.link
    return partial(probabilities, signed=trained.encoder.target.kind == "sign", link=link) if trained.task.probabilistic else link


def _scales(several: Sequence[Trained]) -> tuple[Tensor, Tensor]:
    """What undoes the standardising of each member's targets: a factor and what is added, each (members, outputs)."""
    encoders = [one.encoder.target for one in several]
    zero = torch.zeros(1, encoders[0].outputs, dtype=torch.float64)
    shift = torch.stack([encoder.unscale(zero)[0] for encoder in encoders])
    return torch.stack([encoder.unscale(zero + 1)[0] for encoder in encoders]) - shift, shift
