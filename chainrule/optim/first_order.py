"""Optimizers of one rate, and Adam: each follows a direction downhill, in place, with one list kernel per operation where those exist.

Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586; Polyak (1964), https://doi.org/10.1016/0041-5553(64)90137-5;
Kingma & Ba (2014), https://arxiv.org/abs/1412.6980
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainrule.core.descend import Optimizer
from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.tree import Tree, wrapped


def each(op: str, tensors: Sequence[Tensor], *others: Any, **numbers: float | Tensor) -> Sequence[Tensor]:
    """`tensor.op(other, ...)` for every tensor: one list kernel, or a loop where a transformation holds them or the compiler fuses it."""
    alpha = numbers.get("alpha")
    if isinstance(alpha, Tensor) or (alpha is not None and torch.compiler.is_compiling()):
        # A number of every member's own: kernels take only plain ones. And inductor, making one of a sum and a product, forgets alpha.
        return each(op, tensors, each("mul", others[0], alpha), *others[1:])
    if wrapped(list(tensors)):
        return [getattr(t, op)(*(o[i] if isinstance(o, (list, tuple)) else o for o in others), **numbers) for i, t in enumerate(tensors)]
    results: Sequence[Tensor] = getattr(torch, f"_foreach_{op}")(tensors, *others, **numbers)
    return results


def active(number: float | Tensor) -> bool:
    """Whether a number asks for something: not zero, or one that every member of a stack has for itself, zeros among them."""
    return isinstance(number, Tensor) or bool(number)


def descend(params: Sequence[Tensor], direction: Sequence[Tensor], rate: float, factor: float | Tensor) -> None:
    """In place, `params -= rate * factor * direction`."""
    if isinstance(factor, Tensor) and not isinstance(rate, Tensor):
        direction, factor = each("mul", direction, factor), 1.0
    each("add_", params, direction, alpha=-rate * factor)


@optimizers(source="Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586")
def sgd(*, rate: float = 0.1, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Optimizer:
    """Step down the direction; `momentum` keeps going, `nesterov` looks ahead, `decay` pulls every parameter toward zero.

    With velocity v: v <- momentum v + (1 - dampening) (direction + decay w), the first time undamped, then w <- w - rate v, or
    w - rate (direction + decay w + momentum v) under `nesterov`. Raises InputError for a rate that is not positive, a momentum or
    dampening outside [0, 1), a negative decay, and where momentum is 0 or dampened and an option contradicts that.
    """
    check_positive("sgd", rate=rate)
    check_least("sgd", decay=decay)
    check_share("sgd", momentum=momentum, dampening=dampening)
    if nesterov and not active(momentum):
        raise InputError("sgd looks ahead along its momentum, which is 0. Write sgd:momentum=0.9,nesterov=yes.")
    if active(dampening) and (nesterov or not active(momentum)):
        raise InputError("sgd dampens what enters a momentum above 0 that does not look ahead. Write sgd:momentum=0.9,dampening=0.1.")

    def init(params: dict[str, Tensor]) -> Tree:
        state: dict[str, Any] = {"velocity": {k: torch.zeros_like(p) for k, p in params.items()}} if active(momentum) else {}
        return state | {"begun": scalar_for(params, 0.0)} if active(dampening) else state

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        down = decayed(list(direction.values()), into, decay)
        if active(momentum):
            velocity = [state["velocity"][k] for k in direction]
            each("mul_", velocity, momentum)
            if active(dampening):
                each("add_", velocity, each("mul", down, 1 - dampening * state["begun"]))
                state["begun"].fill_(1)
            else:
                each("add_", velocity, down)
            down = each("add", down, velocity, alpha=momentum) if nesterov else velocity
        descend(into, down, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers("momentum", source="Polyak (1964), https://doi.org/10.1016/0041-5553(64)90137-5")
def heavy_ball(*, rate: float = 0.1, momentum: float = 0.9, decay: float = 0.0, initial: float | None = None,
               until: int = 1000) -> Optimizer:
    """A heavy ball: sgd whose velocity decays by `momentum` a step; by `initial`, where it is given, for the first `until` steps.

    Machines learn by contrastive divergence so: 0.5 until the first quick progress is over, then 0.9. Hinton (2010), "A practical guide to
    training restricted Boltzmann machines", section 9. Raises InputError for an initial momentum outside [0, 1) and fewer steps than one.
    """
    usual = sgd(rate=rate, momentum=momentum, decay=decay)
    if initial is None:
        return usual
    check_share("momentum", initial=initial)
    if until < 1:
        raise InputError(f"momentum expects until to be at least 1, the steps for which initial={initial:g} holds; got {until}. Write e.g. "
                         "momentum:initial=0.5,until=1000.")

    def init(params: dict[str, Tensor]) -> Tree:
        return {"velocity": {k: torch.zeros_like(p) for k, p in params.items()}, "steps": scalar_for(params, 0.0)}

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into, velocity = [params[k] for k in direction], [state["velocity"][k] for k in direction]
        begun = state["steps"]
        retained = torch.where(begun < until, torch.zeros_like(begun) + initial, torch.zeros_like(begun) + momentum)
        begun.add_(1)
        each("mul_", velocity, retained)
        each("add_", velocity, decayed(list(direction.values()), into, decay))
        descend(into, velocity, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers("nesterov", source="Nesterov (1983), as in Bengio et al. (2012), https://arxiv.org/abs/1212.0901")
def look_ahead(*, rate: float = 0.1, momentum: float = 0.9, decay: float = 0.0) -> Optimizer:
    """Momentum that takes the slope where it is about to be."""
    return sgd(rate=rate, momentum=momentum, nesterov=True, decay=decay)


@optimizers(source="Kingma & Ba (2014), https://arxiv.org/abs/1412.6980; amsgrad: Reddi, Kale & Kumar (2018), https://arxiv.org/abs/1904.09237")
def adam(*, rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.0,
         amsgrad: bool = False) -> Optimizer:
    """A rate for each parameter from running means of its slope and squared slope; `decay` adds to the slope, as in sgd.

    With `amsgrad` the greatest of the running squares is used. Raises InputError for a rate or an epsilon that is not positive, a beta
    outside [0, 1) or a negative decay.
    """
    return adaptive_moments("adam", rate, beta1, beta2, epsilon, added=decay, decoupled=0.0, amsgrad=amsgrad)


@optimizers(source="Loshchilov & Hutter (2017), https://arxiv.org/abs/1711.05101")
def adamw(*, rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.01,
          amsgrad: bool = False) -> Optimizer:
    """Adam whose `decay` shrinks the parameters apart from the slope."""
    return adaptive_moments("adamw", rate, beta1, beta2, epsilon, added=0.0, decoupled=decay, amsgrad=amsgrad)


def adaptive_moments(name: str, rate: float, beta1: float, beta2: float, epsilon: float, *, added: float, decoupled: float,
                     amsgrad: bool = False) -> Optimizer:
    """Adam with the decay `added` to the slope, or `decoupled` from it; `name` is whose options complaints are about."""
    check_positive(name, rate=rate, epsilon=epsilon)
    check_least(name, decay=decoupled if active(decoupled) else added)
    check_share(name, beta1=beta1, beta2=beta2)

    def init(params: dict[str, Tensor]) -> Tree:
        parts = ("mean", "square", "most") if amsgrad else ("mean", "square")
        return {"steps": scalar_for(params, 0.0), **{part: {k: torch.zeros_like(p) for k, p in params.items()} for part in parts}}

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        mean, square = ([state[part][k] for k in direction] for part in ("mean", "square"))
        steps = state["steps"].add_(1)
        slope = decayed(list(direction.values()), into, added)
        if active(decoupled):
            each("mul_", into, 1 - rate * factor * decoupled)
        follow_(mean, slope, beta1)
        follow_(square, each("mul", slope, slope), beta2)
        if amsgrad:
            most = [state["most"][k] for k in direction]
            each("copy_", most, each("maximum", most, square))
            square = most
        size = each("sqrt", square)
        each("mul_", size, _missing(beta2, steps).rsqrt())
        each("add_", size, epsilon)
        moves = each("div", mean, size)
        each("mul_", moves, factor / _missing(beta1, steps))
        each("add_", into, moves, alpha=-rate)
        return state

    return Optimizer(init, update)


def decayed(direction: Sequence[Tensor], params: Sequence[Tensor], decay: float) -> Sequence[Tensor]:
    """The direction with `decay` times the parameters added, where it is given; never written in place."""
    return each("add", direction, params, alpha=decay) if active(decay) else direction


def follow_(means: Sequence[Tensor], values: Sequence[Tensor], beta: float) -> None:
    """In place, `means = beta * means + (1 - beta) * values`; lerp_ and addcmul_ would be one kernel, but have no batching rule."""
    each("mul_", means, beta)
    each("add_", means, values, alpha=1 - beta)


def scalar_for(params: dict[str, Tensor], value: float) -> Tensor:
    """A number of the optimizer's own (), where the parameters are and at least as fine; bfloat16 cannot count beyond 256."""
    some = next(iter(params.values()), torch.empty(0))
    return torch.full((), value, device=some.device, dtype=torch.promote_types(some.dtype, torch.float32))


def _missing(beta: float, steps: Tensor) -> Tensor:
    """1 - beta^steps: what a running mean that began at zero lacks. Written with expm1, which keeps its digits near beta = 1."""
    if isinstance(beta, Tensor):
        return -torch.expm1(steps * beta.log())
    return -torch.expm1(steps * math.log(beta)) if beta else torch.ones_like(steps)


def check_positive(name: str, **numbers: float) -> None:
    """Raise InputError for a number that is not above 0 and finite. Tensors were checked as the plain number that some member gave."""
    for option, value in numbers.items():
        if not isinstance(value, Tensor) and not 0 < value < math.inf:
            raise InputError(f"{name} expects {option} to be a number above 0; got {value}. Write e.g. {name}:{option}=0.01.")


def check_least(name: str, **numbers: float) -> None:
    """Raise InputError for a number that is below 0 or not finite."""
    for option, value in numbers.items():
        if not isinstance(value, Tensor) and not 0 <= value < math.inf:
            raise InputError(f"{name} expects {option} to be a number at least 0; got {value}. Write e.g. {name}:{option}=0.01.")


def check_share(name: str, **shares: float) -> None:
    """Raise InputError for a number outside [0, 1)."""
    for option, value in shares.items():
        if not isinstance(value, Tensor) and not 0 <= value < 1:
            raise InputError(f"{name} expects {option} to be at least 0 and below 1; got {value}. Write e.g. {name}:{option}=0.9.")
