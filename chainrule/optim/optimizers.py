"""Optimizers: each follows a direction downhill, in place, with one list kernel per operation where those exist.

Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586; Polyak (1964), https://doi.org/10.1016/0041-5553(64)90137-5;
Kingma & Ba (2014), https://arxiv.org/abs/1412.6980
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.rule import Optimizer
from chainrule.core.tree import Tree, wrapped


def each(op: str, tensors: Sequence[Tensor], *others: Any, **numbers: float | Tensor) -> Sequence[Tensor]:
    """`tensor.op(other, ...)` for every tensor: one list kernel, or a loop where a transformation holds them or the compiler fuses it."""
    alpha = numbers.get("alpha")
    if isinstance(alpha, Tensor) or (alpha is not None and torch.compiler.is_compiling()):
        # A number of every member's own: kernels take only plain ones. And inductor, making one of a sum and a product, forgets alpha.
        return each(op, tensors, each("mul", others[0], alpha), *others[1:])
    if wrapped(list(tensors)):
        return [getattr(t, op)(*(o[i] if isinstance(o, (list, tuple)) else o for o in others), **numbers) for i, t in enumerate(tensors)]
    return getattr(torch, f"_foreach_{op}")(tensors, *others, **numbers)


def given(number: float | Tensor) -> bool:
    """Whether a number asks for something: not zero, or one that every member of a stack has for itself, zeros among them."""
    return isinstance(number, Tensor) or bool(number)


def descend(params: Sequence[Tensor], direction: Sequence[Tensor], rate: float, factor: float | Tensor) -> None:
    """In place, `params -= rate * factor * direction`."""
    if isinstance(factor, Tensor) and not isinstance(rate, Tensor):
        direction, factor = each("mul", direction, factor), 1.0
    each("add_", params, direction, alpha=-rate * factor)


@optimizers(source="Robbins & Monro (1951), https://doi.org/10.1214/aoms/1177729586")
def sgd(*, rate: float = 0.1, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Optimizer:
    """Step down the direction; `momentum` keeps going, `nesterov` looks ahead, `decay` pulls every parameter toward zero.

    With velocity v: v <- momentum v + direction + decay w, then w <- w - rate v, or w - rate (direction + decay w + momentum v) under
    `nesterov`. Raises InputError for a rate that is not positive, a momentum outside [0, 1) or a negative decay.
    """
    _check("sgd", rate=rate, decay=decay)
    _share("sgd", momentum=momentum)
    if nesterov and not given(momentum):
        raise InputError("sgd looks ahead along its momentum, which is 0. Write sgd:momentum=0.9,nesterov=yes.")

    def init(params: dict[str, Tensor]) -> Tree:
        return {"velocity": {k: torch.zeros_like(p) for k, p in params.items()}} if given(momentum) else {}

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        down: Sequence[Tensor] = list(direction.values())
        if given(decay):
            down = each("add", down, into, alpha=decay)
        if given(momentum):
            velocity = [state["velocity"][k] for k in direction]
            each("mul_", velocity, momentum)
            each("add_", velocity, down)
            down = each("add", down, velocity, alpha=momentum) if nesterov else velocity
        descend(into, down, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers("momentum", source="Polyak (1964), https://doi.org/10.1016/0041-5553(64)90137-5")
def heavy_ball(*, rate: float = 0.1, momentum: float = 0.9, decay: float = 0.0) -> Optimizer:
    """A heavy ball: sgd whose velocity decays by `momentum` a step."""
    return sgd(rate=rate, momentum=momentum, decay=decay)


@optimizers("nesterov", source="Nesterov (1983), as in Bengio et al. (2012), https://arxiv.org/abs/1212.0901")
def look_ahead(*, rate: float = 0.1, momentum: float = 0.9, decay: float = 0.0) -> Optimizer:
    """Momentum that takes the slope where it is about to be."""
    return sgd(rate=rate, momentum=momentum, nesterov=True, decay=decay)


@optimizers(source="Kingma & Ba (2014), https://arxiv.org/abs/1412.6980")
def adam(*, rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.0) -> Optimizer:
    """A rate for each parameter from running means of its slope and squared slope; `decay` adds to the slope, as in sgd.

    Raises InputError for a rate or an epsilon that is not positive, a beta outside [0, 1) or a negative decay.
    """
    return _adam("adam", rate, beta1, beta2, epsilon, added=decay, decoupled=0.0)


@optimizers(source="Loshchilov & Hutter (2017), https://arxiv.org/abs/1711.05101")
def adamw(*, rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.01) -> Optimizer:
    """Adam whose `decay` shrinks the parameters apart from the slope."""
    return _adam("adamw", rate, beta1, beta2, epsilon, added=0.0, decoupled=decay)


def _adam(name: str, rate: float, beta1: float, beta2: float, epsilon: float, *, added: float, decoupled: float) -> Optimizer:
    _check(name, rate=rate, epsilon=epsilon, decay=added + decoupled)
    _share(name, beta1=beta1, beta2=beta2)

    def init(params: dict[str, Tensor]) -> Tree:
        some = next(iter(params.values()), torch.empty(0))
        # bfloat16 cannot count beyond 256
        steps = torch.zeros((), device=some.device, dtype=torch.promote_types(some.dtype, torch.float32))
        return {"steps": steps, "mean": {k: torch.zeros_like(p) for k, p in params.items()},
                "square": {k: torch.zeros_like(p) for k, p in params.items()}}

    def update(params: dict[str, Tensor], direction: dict[str, Tensor], state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        slope: Sequence[Tensor] = list(direction.values())
        mean, square = ([state[part][k] for k in direction] for part in ("mean", "square"))
        steps = state["steps"].add_(1)
        if given(added):
            slope = each("add", slope, into, alpha=added)
        if given(decoupled):
            each("mul_", into, 1 - rate * factor * decoupled)
        # lerp_ and addcmul_ would be one kernel each, but have no batching rule
        each("mul_", mean, beta1)
        each("add_", mean, slope, alpha=1 - beta1)
        each("mul_", square, beta2)
        each("add_", square, each("mul", slope, slope), alpha=1 - beta2)
        size = each("sqrt", square)
        each("mul_", size, _missing(beta2, steps).rsqrt())
        each("add_", size, epsilon)
        moves = each("div", mean, size)
        each("mul_", moves, factor / _missing(beta1, steps))
        each("add_", into, moves, alpha=-rate)
        return state

    return Optimizer(init, update)


def _missing(beta: float, steps: Tensor) -> Tensor:
    """1 - beta^steps: what a running mean that began at zero lacks. Written with expm1, which keeps its digits near beta = 1."""
    if isinstance(beta, Tensor):
        return -torch.expm1(steps * beta.log())
    return -torch.expm1(steps * math.log(beta)) if beta else torch.ones_like(steps)


def _check(name: str, **numbers: float) -> None:
    for option, value in numbers.items():
        if isinstance(value, Tensor):  # was checked as the plain number that some member gave
            continue
        least = "at least 0" if option == "decay" else "above 0"
        if not math.isfinite(value) or value < 0 or (value == 0 and option != "decay"):
            raise InputError(f"{name} expects {option} to be a number {least}; got {value}. Write e.g. {name}:{option}=0.01.")


def _share(name: str, **shares: float) -> None:
    for option, value in shares.items():
        if not isinstance(value, Tensor) and not 0 <= value < 1:
            raise InputError(f"{name} expects {option} to be at least 0 and below 1; got {value}. Write e.g. {name}:{option}=0.9.")
