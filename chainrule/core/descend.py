"""Rules that are a direction and an optimizer that follows it downhill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Report, Rule
from chainrule.core.traits import Reads, Target
from chainrule.core.tree import Tree, real


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


Schedule = Callable[[Tensor], Tensor]  # share of the stage done, in [0, 1] -> factor of the rate


PACE = "pace"  # the entry of a rule's state that says where its stage stands


def unpaced(net: Net) -> dict[str, Tensor]:
    """Where a stage stands that has not begun, as a rule with a schedule keeps it: `done` of `whole`, and `each` step does so much.

    The engine writes all three before every chunk (see `set_pace`), so that a rule reads its share and never counts it.
    """
    kind = torch.float32 if net.device.type == "mps" else torch.float64       # single precision cannot count beyond 2^24
    return {name: torch.full((), value, dtype=kind, device=net.device) for name, value in (("done", 0.0), ("each", 0.0), ("whole", 1.0))}


@torch.no_grad()
def set_pace(state: Tree, pace: dict[str, float] | dict[str, Tensor]) -> None:
    """In place, write `done`, `each` and `whole`, numbers or (members,), to every rule in this state that follows a schedule."""
    for name, entry in state.items() if isinstance(state, dict) else ():
        if name == PACE:
            for part, t in entry.items():
                value = pace[part]
                t.copy_(value) if isinstance(value, Tensor) else t.fill_(value)
        else:
            set_pace(entry, pace)


@torch.no_grad()
def factor_at(schedule: Schedule, pace: dict[str, Tensor], net: Net) -> Tensor:
    """The factor of the rate at this step, (), in double precision for such parameters, else in single; `pace` goes one step on."""
    share = (pace["done"] / pace["whole"]).clamp(min=0.0, max=1.0)
    pace["done"].add_(pace["each"])
    some = next(iter(net.params.values()), share)
    return schedule(share.to(torch.float64 if some.dtype in (torch.float64, torch.complex128) else torch.float32))


class Descent:
    """What moves parameters down a direction: an optimizer, with the schedule of its rate and the constraint they keep to.

    Most rules have one; a rule with parts has one for each, named as its parameter (`discriminator: Descent`), which is how a user
    reaches its optimizer. A parameter that the direction leaves out stays as it is; complex ones move as pairs of real ones. After every
    move the constraint, where there is one, is put on those that moved.
    `factor` multiplies the rate throughout; a program that was made of a step has it in it.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule | None = None, constraint: Constraint | None = None):
        self.optimizer, self.schedule, self.constraint = optimizer, schedule, constraint
        self.factor = 1.0

    def init(self, net: Net) -> Tree:
        state = {"optimizer": self.optimizer.init(_real(net.params))}
        if self.schedule is not None:
            state[PACE] = unpaced(net)
        return state

    def follow(self, net: Net, state: Tree, direction: dict[str, Tensor], loss: Tensor | None = None) -> Tree:
        """The state after one move along `direction`, in place; `loss` is the value at the parameters, for optimizers that compare it."""
        factor: float | Tensor = self.factor
        if self.schedule is not None:
            scheduled = factor_at(self.schedule, state[PACE], net)
            factor = scheduled if self.factor == 1 else scheduled * self.factor
        if not direction:
            return state
        moved = net.params if len(direction) == len(net.params) else {name: net.params[name] for name in direction}
        with torch.no_grad():
            state["optimizer"] = self.optimizer.update(_real(moved), _real(direction), state["optimizer"], factor, loss)
            if self.constraint is not None:
                self.constraint(moved)
        return state


registry.NESTED[Descent] = registry.optimizers


def descents(rule: Any) -> Iterator[Descent]:
    """What moves the parameters under a rule, each part of which may have its own; none under a rule without rates."""
    for part in vars(rule).values() if hasattr(rule, "__dict__") else ():
        if isinstance(part, Descent):
            yield part
    if isinstance(rule, Prepared):
        yield from descents(rule.rule)


def multiply_rate(rule: Any, factor: float) -> None:
    """Multiply the rates that a rule was made with by this factor, which takes the place of an earlier one."""
    for descent in descents(rule):
        descent.factor = factor


class Descend:
    """Most rules: a direction shaped like the parameters, and an optimizer that follows it downhill.

    `additive` says that the direction and the report of a batch are the means of those of its samples, so that a batch may be split.
    `penalty` is what the direction goes down beside the reported loss; it is given for optimizers that compare values, which get the sum.
    """

    def __init__(self, direction: Direction, optimizer: Optimizer, *, schedule: Schedule | None = None,
                 reads: Reads = "batch", target: Target = "any", tolerance: float = 1e-3, additive: bool = False,
                 constraint: Constraint | None = None, penalty: Penalty | None = None):
        self.direction, self.penalty = direction, penalty
        self.descent = Descent(optimizer, schedule, constraint)
        self.reads, self.target, self.tolerance, self.additive = reads, target, tolerance, additive

    @property
    def schedule(self) -> Schedule | None:
        return self.descent.schedule

    def init(self, net: Net) -> Tree:
        return self.descent.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        return self.follow(net, state, *self.direction(net, batch))

    def follow(self, net: Net, state: Tree, direction: dict[str, Tensor], report: Report) -> tuple[Net, Tree, Report]:
        """One move of the optimizer along `direction`."""
        value = report.get("loss")
        if value is not None and self.penalty is not None:
            with torch.no_grad():
                value = value + self.penalty({name: net.params[name] for name in direction})
        return net, self.descent.follow(net, state, direction, value), report


def _real(tree: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: real(t) for name, t in tree.items()} if any(t.is_complex() for t in tree.values()) else tree


Alter = Callable[[Tensor], Tensor]
Read = Callable[[Batch], Batch]


class Prepared:
    """A whole rule that reads its batches through `read`; see `prepared`."""

    def __init__(self, rule: Rule, read: Read):
        self.rule, self.read = rule, read
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance

    def init(self, net: Net) -> Tree:
        return self.rule.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        return self.rule.step(net, state, self.read(batch))


def prepared(rule: Rule, *alters: Alter | None, mix: Read | None = None) -> Rule:
    """`rule` with every batch's inputs (n, ...) passed through `alters` first, inside the step and so on the device; then through `mix`.

    So are stored inputs scaled, and pictures shifted at random: whatever executes the step executes that too. A batch whose samples are
    mixed with each other cannot be split.
    """
    wanted = [a for a in alters if a is not None]
    if not wanted and mix is None:
        return rule

    def read(batch: Batch) -> Batch:
        x = batch.x
        for alter in wanted:
            x = alter(x)
        altered = batch.with_inputs(x)
        return altered if mix is None else mix(altered)

    return _directed(rule, read, mix is None) if isinstance(rule, Descend) else Prepared(rule, read)


def _directed(rule: Descend, read: Read, divisible: bool) -> Descend:
    """A Descend stays one, so that its batches can still be split where they are `divisible`."""

    def direction(net: Net, batch: Batch) -> tuple[dict[str, Tensor], Report]:
        return rule.direction(net, read(batch))

    descent = rule.descent
    return Descend(direction, descent.optimizer, schedule=descent.schedule, reads=rule.reads, target=rule.target,
                   tolerance=rule.tolerance, additive=rule.additive and divisible, constraint=descent.constraint, penalty=rule.penalty)
