"""Quasi-Newton steps with limited memory: the inverse Hessian as the last few moves and changes of slope imply it.

Nocedal (1980), https://doi.org/10.1090/S0025-5718-1980-0572855-7; Liu & Nocedal (1989), https://doi.org/10.1007/BF01589116
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import Surface, flat, within
from chainrule.optim.solvers.linesearch import Trial, along, wolfe


@optimizers(source="Nocedal (1980), https://doi.org/10.1090/S0025-5718-1980-0572855-7", reads="everything")
def lbfgs(*, memory: int = 10, c1: float = 1e-4, c2: float = 0.9, evaluations: int = 25) -> Solver:
    """Quasi-Newton steps from the last `memory` moves, each as long as the strong Wolfe conditions with `c1` and `c2` ask.

    Where `evaluations` trials find no such length, the best of them is kept, the memory is emptied and `failed` is 1. A schedule scales
    the first trial. Raises InputError for a memory or evaluations below 1, or unless 0 < c1 < c2 < 1.
    """
    within("lbfgs", 1, memory=memory, evaluations=evaluations)
    within("lbfgs", 0, 1, open=True, c2=c2)
    within("lbfgs", 0, c2, open=True, c1=c1)

    def init(net: Net) -> Tree:
        vector = flat(net)
        history = vector.new_zeros(memory, len(vector))
        return {"moves": history, "bends": history.clone(), "count": torch.zeros((), dtype=torch.int64, device=vector.device)}

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface = Surface(net, batch, objective)
        value, gradient = surface.slope(surface.start)
        count = int(state["count"])
        pairs = [(state["moves"][i % memory], state["bends"][i % memory]) for i in range(max(0, count - memory), count)]
        direction = downhill(gradient, pairs)
        start = Trial(0.0, float(value), float(gradient @ direction), gradient)
        if not math.isfinite(start.value) or not -math.inf < start.slope < 0:
            state["count"].zero_()
            return state, surface.report(value, failed=float(not bool((gradient == 0).all())))
        first = 1.0 if count else min(1.0, 1 / float(gradient.abs().sum()))
        point, well = wolfe(along(surface, direction), start, first * float(factor), c1=c1, c2=c2, evaluations=evaluations)
        move = point.length * direction
        surface.move(surface.start + move)
        bend = point.gradient - gradient
        if not well:
            state["count"].zero_()
        elif move @ bend > torch.finfo(move.dtype).eps * bend.square().sum():
            state["moves"][count % memory], state["bends"][count % memory] = move, bend
            state["count"].add_(1)
        return state, surface.report(value, failed=float(not well))

    return Solver(init, step)


def downhill(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Minus the inverse Hessian, as moves and changes of slope (the oldest pair first) imply it, times a gradient (p,): two loops."""
    direction = -gradient
    shares: list[Tensor] = []
    for move, bend in reversed(pairs):
        shares.append((move @ direction) / (move @ bend))
        direction = direction - shares[-1] * bend
    if pairs:
        move, bend = pairs[-1]
        direction = direction * (move @ bend) / (bend @ bend)
    for (move, bend), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - (bend @ direction) / (move @ bend)) * move
    return direction
