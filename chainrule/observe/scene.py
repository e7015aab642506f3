"""What a kind of look is given: a step replayed on fixed rows, the net before it, and ways to ask for more, each on copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion, Pairwise, Stepwise, mean_costs
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import real
from chainrule.observe.replay import Layer, Replay, copied, inner, passed, replay

Ready = Callable[[Tensor], Tensor]


@dataclass
class Scene:
    """A step of `rule` from `learner` on `batch`, which is as the rule reads it. The learner is the training's own, and is read alone.

    `criterion` is what is lowered, of inputs that `ready` has made numbers; each None where nobody knows it, as for a part of the net.
    `held_out` gives validation rows as a net reads them, None where there are none.
    """

    learner: Learner
    rule: Rule
    batch: Batch
    number: int
    name: str
    criterion: Criterion | None = None
    ready: Ready | None = None
    held_out: Callable[[], Tensor | None] = lambda: None

    @cached_property
    def step(self) -> Replay:
        """The step itself, on a copy."""
        return replay(self.learner, self.rule, self.batch)

    @cached_property
    def valid(self) -> Tensor | None:
        """Validation rows as a net reads them, where there are any."""
        return self.held_out()

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers from the input on; where the step runs none of them, as a pass through the net does."""
        ran = any(layer.output is not None for layer in self.step.layers)
        return self.step.layers if ran or not self.step.layers else passed(self.copy(), self.read.x)

    @property
    def before(self) -> Net:
        """The net before the step."""
        return self.learner.net

    @property
    def report(self) -> Report:
        return self.step.report

    @cached_property
    def read(self) -> Batch:
        """The rows as the net reads them: unaltered where that is known, else as the rule reads them itself."""
        return inner(self.rule)[1](self.batch) if self.ready is None else self.batch.with_inputs(self.ready(self.batch.x))

    @cached_property
    def changes(self) -> dict[str, Tensor]:
        """What the step adds to each parameter."""
        after = self.step.after.params
        return {name: real(after[name].detach()) - real(p.detach()) for name, p in self.before.params.items() if name in after}

    @cached_property
    def directions(self) -> dict[str, Tensor]:
        """The direction of the rule by parameter; where it has none, the change itself."""
        found = {name: real(t) for name, t in self.step.direction.items()}
        return {name: found.get(name, change) for name, change in self.changes.items()}

    @property
    def direction(self) -> str:
        """What the directions are where they are no gradient: the rule's own, by its name."""
        own = self.step.descends and (set(self.step.direction) | self.step.after.idle) >= set(self.changes)
        return "" if own else self.name

    @property
    def scale(self) -> int:
        """How many costs the mean is over, so that a slope of the mean times this is one of the sum."""
        n = len(self.batch)
        if isinstance(self.criterion, Stepwise | Pairwise) and self.batch.x.dim() > 1:
            size = self.batch.size()
            return int(size) if self.batch.mask is not None else n * self.batch.x.shape[1]
        return n

    @property
    def module(self) -> torch.nn.Module:
        return self.before.module

    def copy(self) -> Net:
        """A net like the one before the step, to do anything with."""
        return copied(self.learner).net

    def solver(self) -> Rule:
        """The rule itself, without what reads its batches."""
        return inner(self.rule)[0]

    def loss(self, net: Net, batch: Batch) -> Tensor:
        """The mean cost, a scalar that can be differentiated, of rows as a net reads them. Only where there is a criterion."""
        assert self.criterion is not None
        return mean_costs(self.criterion(net, batch), batch)[0]
