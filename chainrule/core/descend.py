"""Rules that are a direction and an optimizer that follows it downhill."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Report, Rule
from chainrule.core.traits import Reads, Target
from chainrule.core.tree import Tree


class Optimizer(NamedTuple):
    """`init(params) -> state` and `update(params, direction, state, factor, loss) -> state`; `update` moves `params` in place.

    `direction` points uphill (a gradient, or whatever a rule offers in its place); `factor` scales the rate, and is the
    float 1.0 or, under a schedule, a scalar tensor; `loss` is the value at `params`, None where a rule has none. `state` has no
    tensors that `init` did not make.
    """

    init: Callable[[dict[str, Tensor]], Tree]
    update: Callable[[dict[str, Tensor], dict[str, Tensor], Tree, float | Tensor, Tensor | None], Tree]


Constraint = Callable[[dict[str, Tensor]], None]  # moves parameters, in place, back to where they may be


Penalty = Callable[[dict[str, Tensor]], Tensor]  # what parameters cost beside the loss, a scalar


Direction = Callable[..., tuple[dict[str, Tensor], Report]]


Schedule = Callable[[Tensor], Tensor]  # share of the run done, in [0, 1] -> factor of the rate


def restarted(schedule: Schedule, cycles: int) -> Schedule:
    """A schedule gone through from its beginning in each of so many equal cycles of a run."""

    def factor(share: Tensor) -> Tensor:
        within = share * cycles
        for k in range(1, cycles):
            within = torch.where(share >= k / cycles, share * cycles - k, within)
        return schedule(within.clamp(min=0.0))

    return factor


class Descend:
    """Most rules: a direction shaped like the parameters, and an optimizer that follows it downhill.

    `additive` says that the direction and the report of a batch are the means of those of its samples, so that a batch may be split.
    After every move the `constraint`, where there is one, is put on the parameters. `penalty` is what the direction goes down beside the
    reported loss; it is given for optimizers that compare values, which get the sum.
    """

    def __init__(self, direction: Direction, optimizer: Optimizer, *, schedule: Schedule | None = None, steps: int = 0,
                 reads: Reads = "batch", target: Target = "any", tolerance: float = 1e-3, additive: bool = False,
                 constraint: Constraint | None = None, penalty: Penalty | None = None):
        self.direction, self.optimizer, self.schedule, self.steps, self.constraint = direction, optimizer, schedule, steps, constraint
        self.penalty = penalty
        self.reads, self.target, self.tolerance, self.additive = reads, target, tolerance, additive

    def init(self, net: Net) -> Tree:
        state = {"optimizer": self.optimizer.init(net.params)}
        if self.schedule is not None:
            state["step"] = torch.zeros((), device=net.device)
        return state

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        return self.follow(net, state, *self.direction(net, batch))

    def follow(self, net: Net, state: Tree, direction: dict[str, Tensor], report: Report) -> tuple[Net, Tree, Report]:
        """One move of the optimizer along `direction`."""
        factor: float | Tensor = 1.0
        if self.schedule is not None:
            factor = self.schedule(state["step"] / max(self.steps, 1))
            state["step"].add_(1)
        with torch.no_grad():
            value = report.get("loss")
            if value is not None and self.penalty is not None:
                value = value + self.penalty(net.params)
            state["optimizer"] = self.optimizer.update(net.params, direction, state["optimizer"], factor, value)
            if self.constraint is not None:
                self.constraint(net.params)
        return net, state, report


Alter = Callable[[Tensor], Tensor]


class Prepared:
    """A whole rule that reads its inputs through `alter`; see `prepared`."""

    def __init__(self, rule: Rule, alter: Alter):
        self.rule, self.alter = rule, alter
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance

    def init(self, net: Net) -> Tree:
        return self.rule.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        return self.rule.step(net, state, batch.with_inputs(self.alter(batch.x)))


def prepared(rule: Rule, *alters: Alter | None) -> Rule:
    """`rule` with every batch's inputs (n, ...) passed through `alters` first, inside the step and so on the device.

    So are stored inputs scaled, and pictures shifted at random: whatever executes the step executes that too.
    """
    for alter in reversed([a for a in alters if a is not None]):
        rule = _directed(rule, alter) if isinstance(rule, Descend) else Prepared(rule, alter)
    return rule


def _directed(rule: Descend, alter: Alter) -> Descend:
    """A Descend stays one, so that its batches can still be split."""

    def direction(net: Net, batch: Batch) -> tuple[dict[str, Tensor], Report]:
        return rule.direction(net, batch.with_inputs(alter(batch.x)))

    return Descend(direction, rule.optimizer, schedule=rule.schedule, steps=rule.steps, reads=rule.reads, target=rule.target,
                   tolerance=rule.tolerance, additive=rule.additive, constraint=rule.constraint, penalty=rule.penalty)
