"""Optimizers that set a rate for every parameter from the slopes it had, and one that sets the single rate from the loss.

Jacobs (1988), https://doi.org/10.1016/0893-6080(88)90003-2; Riedmiller & Braun (1993), https://doi.org/10.1109/ICNN.1993.298623;
Duchi, Hazan & Singer (2011), JMLR 12:2121; Zeiler (2012), https://arxiv.org/abs/1212.5701

What differs between members of a stack may be a tensor, and `init` does not know it: so rates that grow and shrink are kept as gains, in
units of the `rate` they began with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chainrule.core.descend import Optimizer
from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.tree import Tree
from chainrule.optim.first_order import active, check_least, check_positive, check_share, decayed, descend, each, follow_, scalar_for

Tensors = dict[str, Tensor]


@optimizers(source="Duchi, Hazan & Singer (2011), https://jmlr.org/papers/v12/duchi11a.html")
def adagrad(*, rate: float = 0.01, slowing: float = 0.0, initial: float = 0.0, epsilon: float = 1e-10, decay: float = 0.0) -> Optimizer:
    """The rate of each parameter is divided by the root of the sum of all its squared slopes.

    The sum begins at `initial`; after t steps the rate is also divided by 1 + `slowing` t; `decay` adds to the slope, as in sgd. Raises
    InputError for a rate or an epsilon that is not positive, or another number that is negative.
    """
    check_positive("adagrad", rate=rate, epsilon=epsilon)
    check_least("adagrad", slowing=slowing, initial=initial, decay=decay)

    def init(params: Tensors) -> Tree:
        count = {"steps": scalar_for(params, 0.0)} if active(slowing) else {}
        return count | {"sum": _zeros(params)}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        total = [state["sum"][k] for k in direction]
        slope = decayed(list(direction.values()), into, decay)
        each("add_", total, each("mul", slope, slope))
        size = each("sqrt", each("add", total, initial) if active(initial) else total)
        each("add_", size, epsilon)
        if active(slowing):
            factor = factor / (1 + state["steps"] * slowing)
            state["steps"].add_(1)
        descend(into, each("div", slope, size), rate, factor)
        return state

    return Optimizer(init, update)


@optimizers(source="Zeiler (2012), https://arxiv.org/abs/1212.5701")
def adadelta(*, rate: float = 1.0, beta: float = 0.95, epsilon: float = 1e-6, decay: float = 0.0) -> Optimizer:
    """Moves as long as the usual recent move, times the slope in units of its usual recent size: there is no rate to choose.

    Both are roots of running means of squares, kept by `beta` a step. Raises InputError for a rate or an epsilon that is not positive, a
    beta outside [0, 1) or a negative decay.
    """
    check_positive("adadelta", rate=rate, epsilon=epsilon)
    check_least("adadelta", decay=decay)
    check_share("adadelta", beta=beta)

    def init(params: Tensors) -> Tree:
        return {"square": _zeros(params), "moved": _zeros(params)}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        square, moved = ([state[part][k] for k in direction] for part in ("square", "moved"))
        slope = decayed(list(direction.values()), into, decay)
        follow_(square, each("mul", slope, slope), beta)
        moves = each("sqrt", each("add", moved, epsilon))
        each("div_", moves, each("sqrt", each("add", square, epsilon)))
        each("mul_", moves, slope)
        follow_(moved, each("mul", moves, moves), beta)
        descend(into, moves, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers(source="Tieleman & Hinton (2012), lecture 6.5, https://www.cs.toronto.edu/~tijmen/csc321/; centered: Graves (2013), "
                   "https://arxiv.org/abs/1308.0850")
def rmsprop(*, rate: float = 0.01, beta: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, centered: bool = False,
            decay: float = 0.0) -> Optimizer:
    """The slope in units of its usual recent size: the root of a running mean of its squares, kept by `beta` a step.

    `centered` takes the variance about a running mean in place of the square; `momentum` keeps going; `decay` adds to the slope. Raises
    InputError for a rate or an epsilon that is not positive, a share outside [0, 1) or a negative decay.
    """
    check_positive("rmsprop", rate=rate, epsilon=epsilon)
    check_least("rmsprop", decay=decay)
    check_share("rmsprop", beta=beta, momentum=momentum)

    def init(params: Tensors) -> Tree:
        parts = ["square", *(["mean"] if centered else []), *(["velocity"] if active(momentum) else [])]
        return {part: _zeros(params) for part in parts}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        into = [params[k] for k in direction]
        usual = square = [state["square"][k] for k in direction]
        slope = decayed(list(direction.values()), into, decay)
        follow_(square, each("mul", slope, slope), beta)
        if centered:
            mean = [state["mean"][k] for k in direction]
            follow_(mean, slope, beta)
            # rounding may put the variance of a slope that does not change below zero
            usual = each("clamp_min", each("sub", square, each("mul", mean, mean)), 0.0)  # type: ignore[assignment]
        size = each("sqrt", usual)
        each("add_", size, epsilon)
        down = each("div", slope, size)
        if active(momentum):
            velocity = [state["velocity"][k] for k in direction]
            each("mul_", velocity, momentum)
            each("add_", velocity, down)
            down = velocity
        descend(into, down, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers("delta-bar-delta", source="Jacobs (1988), https://doi.org/10.1016/0893-6080(88)90003-2", reads="everything")
def delta_bar_delta(*, rate: float = 0.01, grow: float = 0.05, shrink: float = 0.1, memory: float = 0.7) -> Optimizer:
    """A rate for every parameter: more by a constant while its slope keeps its usual sign, less by a share where it does not.

    Slopes s and their running mean m, kept by `memory` a step: a rate grows by `grow` times the first rate where m s > 0, and is
    multiplied by 1 - `shrink` where m s < 0; m does not yet know s. Made for whole batches, whose slopes change their signs for a reason.
    Raises InputError for a rate that is not positive, a negative grow, or a share outside [0, 1).
    """
    check_positive("delta-bar-delta", rate=rate)
    check_least("delta-bar-delta", grow=grow)
    check_share("delta-bar-delta", shrink=shrink, memory=memory)

    def init(params: Tensors) -> Tree:
        return {"gain": _ones(params), "mean": _zeros(params)}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        moves = []
        for k, slope in direction.items():
            gain, mean = state["gain"][k], state["mean"][k]
            turn = mean.sign() * slope.sign()            # of the signs: a product of small slopes may vanish
            gain.copy_(torch.where(turn > 0, gain + grow, torch.where(turn < 0, gain * (1 - shrink), gain)))
            mean.copy_(memory * mean + (1 - memory) * slope)
            moves.append(gain * slope)
        descend([params[k] for k in direction], moves, rate, factor)
        return state

    return Optimizer(init, update)


@optimizers(source="Riedmiller & Braun (1993), https://doi.org/10.1109/ICNN.1993.298623", reads="everything")
def rprop(*, rate: float = 0.01, up: float = 1.2, down: float = 0.5, least: float = 1e-6, most: float = 50.0) -> Optimizer:
    """Every parameter moves by a step of its own against the sign of its slope: longer while the sign stays, shorter where it turns.

    Steps begin at `rate`, are multiplied by `up` or `down`, and stay between `least` and `most`; where the sign has turned, a parameter
    waits once. A schedule scales the moves, not the steps that are kept. Made for whole batches. Raises InputError for a number that is
    not positive, an up below 1, a down that is not below 1, or a least above most.
    """
    return _resilient("rprop", rate, up, down, least, most, back=False)


@optimizers(source="Igel & Huesken (2000), iRprop+, Proc. Neural Computation 2000, 115", reads="everything", compares=True)
def irprop(*, rate: float = 0.0125, up: float = 1.2, down: float = 0.5, least: float = 0.0, most: float = 50.0) -> Optimizer:
    """Rprop that takes a move back where the slope's sign turned and the loss rose.

    Raises InputError as rprop does, and where the rule does not report a loss.
    """
    return _resilient("irprop", rate, up, down, least, most, back=True)


def _resilient(name: str, rate: float, up: float, down: float, least: float, most: float, *, back: bool) -> Optimizer:
    check_positive(name, rate=rate, up=up, down=down, most=most)
    check_least(name, least=least)
    if not isinstance(up, Tensor) and not isinstance(down, Tensor) and not down < 1 <= up:
        raise InputError(f"{name} expects up to be at least 1 and down to be below 1; got up={up} and down={down}. "
                         f"Write e.g. {name}:up=1.2,down=0.5.")
    if not isinstance(least, Tensor) and not isinstance(most, Tensor) and least > most:
        raise InputError(f"{name} expects its shortest step, least, to be no longer than most; got least={least} and most={most}. "
                         f"Leave out both for their usual values.")

    def init(params: Tensors) -> Tree:
        remembered = {"move": _zeros(params), "loss": scalar_for(params, math.inf)} if back else {}
        return {"gain": _ones(params), "sign": _zeros(params), **remembered}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        rose = None
        if back:
            now = _known(name, loss)
            rose = now > state["loss"]
            state["loss"].copy_(now)
        for k, slope in direction.items():
            gain, sign = state["gain"][k], slope.sign()
            turn = sign * state["sign"][k]
            gain.copy_(torch.where(turn > 0, gain * up, torch.where(turn < 0, gain * down, gain)).clamp(min=least / rate)
                       .clamp(max=most / rate))
            sign = torch.where(turn < 0, 0.0, sign)
            state["sign"][k].copy_(sign)
            move = -rate * factor * gain * sign
            if rose is not None:
                last = state["move"][k]
                params[k].add_(torch.where((turn < 0) & rose, -last, move))
                last.copy_(move)
            else:
                params[k].add_(move)
        return state

    return Optimizer(init, update)


@optimizers("bold-driver", source="Vogl, Mangis, Rigler, Zink & Alkon (1988), https://doi.org/10.1007/BF00332914; "
                                  "Battiti (1989), Complex Systems 3:331", reads="everything", compares=True)
def bold_driver(*, rate: float = 0.1, up: float = 1.05, down: float = 0.5) -> Optimizer:
    """One rate for all: times `up` when the loss fell, times `down` when it rose, and then the step is taken anew from where it began.

    A loss that is not a number counts as one that rose. Losses must be those of the same samples, so this is for whole batches. Raises
    InputError for a rate that is not positive, an up below 1, a down that is not between 0 and 1, and where the rule reports no loss.
    """
    check_positive("bold-driver", rate=rate, up=up, down=down)
    if not isinstance(up, Tensor) and not isinstance(down, Tensor) and not down < 1 <= up:
        raise InputError(f"bold-driver expects up to be at least 1 and down to be below 1; got up={up} and down={down}. "
                         "Write e.g. bold-driver:up=1.05,down=0.5.")

    def init(params: Tensors) -> Tree:
        return {"gain": scalar_for(params, 1.0), "loss": scalar_for(params, math.inf),
                "from": {k: p.detach().clone() for k, p in params.items()}, "direction": _zeros(params)}

    def update(params: Tensors, direction: Tensors, state: Tree, factor: float | Tensor, loss: Tensor | None) -> Tree:
        now = _known("bold-driver", loss)
        gain, last = state["gain"], state["loss"]
        fell = now <= last
        gain.copy_(torch.where(fell, torch.where(last.isinf(), gain, gain * up), gain * down))
        last.copy_(torch.where(fell, now, last))
        for k, slope in direction.items():
            begin, along = state["from"][k], state["direction"][k]
            begin.copy_(torch.where(fell, params[k], begin))
            along.copy_(torch.where(fell, slope, along))
            params[k].copy_(begin - rate * factor * gain * along)
        return state

    return Optimizer(init, update)


def _known(name: str, loss: Tensor | None) -> Tensor:
    if loss is None:
        raise InputError(f"{name} compares losses; this rule reports none. Use --rule backprop, or --optimizer sgd.")
    return loss.detach()


def _zeros(params: Tensors) -> Tensors:
    return {k: torch.zeros_like(p) for k, p in params.items()}


def _ones(params: Tensors) -> Tensors:
    return {k: torch.ones_like(p) for k, p in params.items()}
