"""The one contract for learning: `init(net) -> state`, `step(net, state, batch) -> (net, state, report)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.net import Net
from chainrule.core.registry import rules
from chainrule.core.tree import Tree

Report = dict[str, Tensor]
Reads = Literal["batch", "features", "everything"]
Target = Literal["any", "class", "sign", "real", "none"]


class Batch:
    """Inputs (n, ...), targets (n,) or (n, k) or None, and sample weights (n,) or None; `x, y = batch` unpacks it."""

    __slots__ = ("weight", "x", "y")

    def __init__(self, x: Tensor, y: Tensor | None = None, weight: Tensor | None = None):
        self.x, self.y, self.weight = x, y, weight

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.y))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Batch:
        return Batch(self.x[i], None if self.y is None else self.y[i], None if self.weight is None else self.weight[i])

    def rows(self, begin: int, end: int) -> Batch:
        """The samples (of a chunk: the batches) from `begin` up to `end`."""
        return Batch(self.x[begin:end], None if self.y is None else self.y[begin:end],
                     None if self.weight is None else self.weight[begin:end])

    def mean(self, each: Tensor) -> Tensor:
        """The mean over the batch of a per-sample quantity (n,), weighted where weights were given."""
        return each.mean() if self.weight is None else (each * self.weight).mean()


pytree.register_pytree_node(
    Batch,
    lambda b: ([b.x, b.y, b.weight], None),
    lambda parts, _: Batch(*parts),
    serialized_type_name="chainrule.core.rule.Batch",
)


class Learner(NamedTuple):
    """A net and what its rule must remember."""

    net: Net
    state: Tree


class Rule(Protocol):
    """What every learning rule is. Tensors in, tensors out: no `.item()`, no printing, no host synchronisation.

    `step` owns its arguments and may write them in place. `report` holds scalars, `loss` among them; lower is better.
    `tolerance` is how far, relative to the size of the update, a plan may differ from eager execution.
    """

    reads: Reads
    target: Target
    tolerance: float

    def init(self, net: Net) -> Tree: ...

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]: ...


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
        return self.rule.step(net, state, Batch(self.alter(batch.x), batch.y, batch.weight))


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
        return rule.direction(net, Batch(alter(batch.x), batch.y, batch.weight))

    return Descend(direction, rule.optimizer, schedule=rule.schedule, steps=rule.steps, reads=rule.reads, target=rule.target,
                   tolerance=rule.tolerance, additive=rule.additive, constraint=rule.constraint, penalty=rule.penalty)


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: whichever bound is met first ends it."""

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Stage:
    """One entry of a training plan by stages: a view of the net, the rule that trains it, and for how long.

    `view` picks what is trained (default: all); `inputs` maps the data to what that view reads, through the parts
    already trained. Greedy layer-wise learning followed by fine-tuning is a list of these, not code in the loop.
    """

    rule: Rule
    budget: Budget
    view: Callable[[Net], Net] | None = None
    inputs: Callable[[Net, Tensor], Tensor] | None = None
    name: str = ""


Stages = list[Stage]


def part(path: str) -> Callable[[Net], Net]:
    """The view of a submodule, e.g. `part("hidden.0")`: it shares its tensors with the whole."""

    def view(net: Net) -> Net:
        module, prefix = net.module.get_submodule(path), path + "."
        params = {k.removeprefix(prefix): v for k, v in net.params.items() if k.startswith(prefix)}
        buffers = {k.removeprefix(prefix): v for k, v in net.buffers.items() if k.startswith(prefix)}
        return Net(module, params, buffers, bound=net.bound)

    return view


def rule(name: str | None = None, *, source: str = "", reads: Reads = "batch", target: Target = "any",
         tolerance: float = 1e-3, **traits: Any) -> Callable[[Any], Any]:
    """Register a direction `(net, batch, *, options) -> (tree, report)` or a whole rule (a class with `init` and `step`).

    Further traits: `additive=(options)` says that a direction is the mean of its samples' unless one of these options is given;
    `penalty=f`, with `f(options)` what its direction goes down beside the loss; `range="unit"` asks for inputs in [0, 1];
    `nets=(...)` names the families it can train, the first one being its default; `optimizer`, `epochs` and `loss` are its defaults;
    `several` is the target kind for more than two classes; `best="last"` keeps the last weights, where the loss says nothing of progress.
    """

    def register(made: Any) -> Any:
        if isinstance(made, type):
            made.reads, made.target, made.tolerance = reads, target, tolerance  # type: ignore[attr-defined]
        return rules(name, source=source, reads=reads, target=target, tolerance=tolerance, whole=isinstance(made, type), **traits)(made)

    return register
