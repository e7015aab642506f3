"""Conjugate gradients for any objective. Hestenes & Stiefel (1952), https://doi.org/10.6028/jres.049.044; Fletcher & Reeves (1964),
https://doi.org/10.1093/comjnl/7.2.149; Polak & Ribiere (1969), kept from turning back by Powell (1977), https://doi.org/10.1007/BF01593790
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


@optimizers("conjugate", source="Polak & Ribiere (1969), http://www.numdam.org/item/M2AN_1969__3_1_35_0", reads="everything")
def conjugate(*, c1: float = 1e-4, c2: float = 0.1, evaluations: int = 25, restart: float = 0.2) -> Solver:
    """Conjugate gradients: each direction is the slope bent toward the last one, by Polak & Ribiere's share if positive.

    It begins anew after as many steps as there are parameters, and where two slopes in a row share more than `restart` of their squared
    length. Lengths are those of a line search with `c1` and `c2`; where `evaluations` trials find none, the best of them is kept and
    `failed` is 1. A schedule scales the first trial. Raises InputError unless 0 < c1 < c2 < 1/2, and restart and evaluations are positive.
    """
    within("conjugate", 1, evaluations=evaluations)
    within("conjugate", 0, 0.5, open=True, c2=c2)
    within("conjugate", 0, c2, open=True, c1=c1)
    within("conjugate", 0, open=True, restart=restart)

    def init(net: Net) -> Tree:
        vector = flat(net)
        return {"direction": torch.zeros_like(vector), "gradient": torch.zeros_like(vector), "fell": vector.new_zeros(()),
                "count": torch.zeros((), dtype=torch.int64, device=vector.device)}

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface = Surface(net, batch, objective)
        value, gradient = surface.slope(surface.start)
        size, last = float(gradient @ gradient), state["gradient"]
        count, direction = int(state["count"]), -gradient
        if count and abs(float(gradient @ last)) < restart * size:
            share = max(0.0, float(gradient @ (gradient - last)) / float(last @ last))
            direction = share * state["direction"] - gradient
        slope = float(gradient @ direction)
        if not slope < 0:
            direction, slope = -gradient, -size
        start = Trial(0.0, float(value), slope, gradient)
        if not math.isfinite(start.value) or not -math.inf < slope < 0:
            state["count"].zero_()
            return state, surface.report(value, failed=float(size != 0))
        first = float(state["fell"]) / slope if count else min(1.0, 1 / float(gradient.abs().sum()))
        point, well = wolfe(along(surface, direction), start, first * float(factor), c1=c1, c2=c2, evaluations=evaluations)
        surface.move(surface.start + point.length * direction)
        state["direction"].copy_(direction)
        state["gradient"].copy_(gradient)
        state["fell"].fill_(point.length * slope)
        state["count"].fill_(count + 1 if well and count + 1 < len(gradient) else 0)
        return state, surface.report(value, failed=float(not well))

    return Solver(init, step)
