"""What a rule lowers: named costs of a net on a batch; for curvature, the net's outputs apart from a convex loss of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from chainrule.core.abilities.nets import HasHeads, HasMembers, Head
from chainrule.core.batch import Batch, Mixed
from chainrule.core.descend import PACE, Schedule, factor_at, unpaced
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.maps import central
from chainrule.core.net import Net
from chainrule.core.rule import Report
from chainrule.core.traits import Reads, Target
from chainrule.core.tree import Tree, real, value_and_grad


class Criterion(Protocol):
    """The named costs of a net on a batch, each of samples (n,) or of steps (n, t); what is lowered is the sum of their means.

    Several losses, auxiliary outputs, costs of the inputs (reconstruction) and stochastic ones (variational) are criteria like any other.
    """

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]: ...


@runtime_checkable
class OfOutputs(Protocol):
    """A criterion that is one loss of the net's outputs, so that the two can be had apart, as curvature and carried state need them."""

    @property
    def loss(self) -> Loss: ...

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor: ...


def has(module: object, method: Callable[..., Any]) -> bool:
    """Whether a module has the `method` of a protocol: for every step, where asking the protocol itself takes a tenth of a small one."""
    return callable(getattr(type(module), method.__name__, None))


def has_heads(module: object) -> bool:
    """Whether a module is `HasHeads`."""
    return has(module, HasHeads.with_heads)


@dataclass(frozen=True)
class Supervised:
    """The loss between a net's outputs (n, ...) and the batch's targets, of each sample (n,).

    In training a net with further heads has a cost for each of them beside it.
    """

    loss: Loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        if not (net.module.training and has_heads(net.module)):
            return {"loss": self.costs(net(batch.x), batch)}
        outputs, heads = net.call("with_heads", batch.x, batch.y.first if isinstance(batch.y, Mixed) else batch.y)
        return {"loss": self.costs(outputs, batch), **{name: self._head(head, batch) for name, head in heads.items()}}

    def _head(self, head: Head, batch: Batch) -> Tensor:
        """The weighted cost (n,) of what a further head gives."""
        if head.target is None:
            return head.weight * self.costs(head.outputs, batch)
        return head.weight * (head.outputs - head.target).square().flatten(1).sum(1)

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss (n,) of outputs (n, ...); of mixed samples those by both targets, in their shares."""
        if isinstance(batch.y, Mixed):
            by_first, by_second = (self.loss.each(outputs, y) for y in batch.y[:2])
            return torch.lerp(by_second, by_first, batch.y.share.to(by_first.dtype))
        return self.loss.each(outputs, batch.y)


@dataclass(frozen=True)
class Separate:
    """The loss of each member of an ensemble by itself, (n, members); the batch's mask (n, members) says who learns from which sample."""

    loss: Loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        outputs: Tensor = net.call("members", batch.x)                                          # (n, members, outputs)
        n, members = outputs.shape[:2]
        y = batch.y[:, None].expand(n, members, *batch.y.shape[1:]).flatten(0, 1)               # (n * members, ...)
        return {"loss": self.loss.each(outputs.flatten(0, 1), y).view(n, members)}


def separated(criterion: Criterion | None, module: object) -> Criterion | None:
    """The criterion as a net is trained by it: for an ensemble, each member's own loss in place of that of their mean."""
    return Separate(criterion.loss) if isinstance(criterion, Supervised) and isinstance(module, HasMembers) else criterion


@dataclass(frozen=True)
class OneLoss(ABC):
    """A criterion whose only cost is the loss of the net's outputs to a batch's inputs."""

    loss: Loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.costs(net(batch.x), batch)}

    @abstractmethod
    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What outputs (n, ...) cost each sample (n,), or each step of it (n, t)."""


@dataclass(frozen=True)
class Stepwise(OneLoss):
    """The loss between outputs (n, t, k) and targets (n, t) or (n, t, k), of each step (n, t)."""

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss (n, t) of outputs (n, t, k)."""
        costs: Tensor = self.loss.each(outputs.flatten(0, 1), batch.y.flatten(0, 1)).unflatten(0, outputs.shape[:2])
        return costs


@dataclass(frozen=True)
class Pixelwise(OneLoss):
    """The loss between outputs (n, k, h, w) and class numbers of pixels, its mean over the pixels of each sample (n,).

    Of maps that are larger than the outputs it is the central part that is compared.
    """

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean loss (n,) of outputs (n, k, h, w). Raises InputError for outputs of another form."""
        if outputs.dim() != 4:
            raise InputError(f"Maps are answered by outputs (n, classes, height, width); got {tuple(outputs.shape)}. Use --net unet, or "
                             "another that gives maps, such as local:centre=16.")
        numbers = central(batch.y, outputs.shape[2:]).long()                                    # (n, h, w)
        each = self.loss.each(outputs.movedim(1, -1).flatten(0, 2), numbers.flatten())
        costs: Tensor = each.unflatten(0, (len(outputs), -1)).mean(1)
        return costs


@dataclass(frozen=True)
class Pairwise(OneLoss):
    """The loss between outputs (n, k, t, t) and class numbers of pairs of steps, below 0 where a pair is not asked for.

    The cost of a step (n, t) is the mean over the pairs that it is in, 0 where there are none.
    """

    def costs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The costs (n, t) of outputs (n, k, t, t). Raises InputError for outputs of another form."""
        if outputs.dim() != 4 or outputs.shape[2] != outputs.shape[3]:
            raise InputError(f"Pairs of steps are answered by outputs (n, classes, t, t); got {tuple(outputs.shape)}. Use --net "
                             "contactnet.")
        asked = batch.y >= 0                                                                    # (n, t, t)
        numbers = batch.y.clamp(min=0).long()
        each = self.loss.each(outputs.movedim(1, -1).flatten(0, 2), numbers.flatten()).view(numbers.shape)
        costs: Tensor = torch.where(asked, each, 0.0).sum(2) / asked.sum(2).clamp(min=1)
        return costs


def mean_costs(costs: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Report]:
    """The sum of the mean costs, a scalar, and what a rule reports: it as `loss`, and each cost's mean by name where there are several.

    A cost that is itself called `loss` is reported as that, since it is what validation measures.
    """
    means = {name: batch.mean(cost) for name, cost in costs.items()}
    total = torch.stack(list(means.values())).sum() if len(means) > 1 else next(iter(means.values()))
    return total, {"loss": total, **(means if len(means) > 1 else {})}


class Objective:
    """The mean over a batch of a criterion's costs, plus l1 |w| + l2 w^2 / 2 for every weight, biases excepted.

    Raises InputError for penalties below 0.
    """

    def __init__(self, criterion: Criterion, *, l1: float = 0.0, l2: float = 0.0):
        if l1 < 0 or l2 < 0:
            raise InputError(f"An objective expects the penalties l1 and l2 to be at least 0; got l1={l1}, l2={l2}.")
        self.criterion, self.l1, self.l2 = criterion, l1, l2

    @property
    def of_outputs(self) -> OfOutputs:
        """The criterion with its loss apart from the net's outputs. Raises InputError where they are not to be had apart."""
        if not isinstance(self.criterion, OfOutputs):
            raise InputError("This solver needs one loss of the net's outputs; this task has several costs. Use --optimizer adam, sgd or "
                             "lbfgs.")
        return self.criterion

    def loss_of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean loss, a scalar, of outputs (n, ...) for a batch; without the penalties."""
        return batch.mean(self.of_outputs.costs(outputs, batch))

    def penalty(self, params: dict[str, Tensor]) -> Tensor:
        """What the weights cost, a scalar."""
        return cost_of(params, l1=self.l1, l2=self.l2)

    def value(self, net: Net, batch: Batch) -> Tensor:
        """Loss and penalties, a scalar that is differentiable in the net's parameters."""
        value, _ = mean_costs(self.criterion(net, batch), batch)
        return value + self.penalty(net.params) if self.l1 or self.l2 else value

    def idle(self, net: Net, batch: Batch) -> frozenset[str]:
        """The parameters that the criterion does not depend on; the net and the random numbers to come are left as they were."""
        trial, cuda = net.clone(), [net.device] if net.device.type == "cuda" else []
        with torch.random.fork_rng(cuda), torch.enable_grad():
            params = {name: p.requires_grad_() for name, p in trial.params.items()}
            value, _ = mean_costs(self.criterion(trial, batch), batch)
            slopes = torch.autograd.grad(value, list(params.values()), allow_unused=True)
        return frozenset(name for name, slope in zip(params, slopes, strict=True) if slope is None)

    def slope(self, net: Net, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The value and its gradient, shaped like the parameters."""
        value, _, slope = value_and_grad(lambda net, batch: (self.value(net, batch), {}), net, batch)
        return value, slope


def cost_of(params: dict[str, Tensor], *, l1: float | Tensor, l2: float | Tensor) -> Tensor:
    """The sum of `l1` |w| + `l2` w^2 / 2 over all weights, biases excepted; a scalar."""
    cost = next(iter(params.values())).new_zeros(())
    for w in params.values():
        if w.dim() > 1:
            cost = cost + l1 * w.abs().sum() + 0.5 * l2 * real(w).square().sum()
    return cost


class Solver(NamedTuple):
    """An optimizer that asks for more than a direction: values elsewhere, as a line search does, or curvature.

    `init(net) -> state` and `step(net, state, batch, objective, factor) -> (state, report)`; `step` moves the net's parameters in place and
    reports `loss`, the objective before the move, and `evaluations`, how many passes over the batch it took. It may branch on numbers,
    which keeps it out of compiled plans. `state` has no tensors that `init` did not make, and keeps their shapes. `fits` raises InputError
    for an objective that it cannot lower.
    """

    init: Callable[[Net], Tree]
    step: Callable[[Net, Tree, Batch, Objective, float | Tensor], tuple[Tree, Report]]
    fits: Callable[[Objective], None] | None = None


class Solve:
    """The rule that lowers an objective by a solver. Raises InputError where these two do not fit."""

    def __init__(self, objective: Objective, solver: Solver, *, schedule: Schedule | None = None,
                 reads: Reads = "everything", tolerance: float = 1e-3):
        self.objective, self.solver, self.schedule = objective, solver, schedule
        self.reads, self.tolerance = reads, tolerance
        self.target: Target = "any"
        self.idle: frozenset[str] | None = None                 # what the criterion does not depend on, once a step has been seen
        if solver.fits is not None:
            solver.fits(objective)

    def init(self, net: Net) -> Tree:
        state = {"solver": self.solver.init(net)}
        if self.schedule is not None:
            state[PACE] = unpaced(net)
        return state

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        factor: float | Tensor = 1.0 if self.schedule is None else factor_at(self.schedule, state[PACE], net)
        if net.bound:
            if self.idle is None:
                self.idle = self.objective.idle(net, batch)
            net.idle = self.idle
        state["solver"], report = self.solver.step(net, state["solver"], batch, self.objective, factor)
        return net, state, report
