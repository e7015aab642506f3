"""Newton's method with the exact Hessian, shifted where it is not positive definite or its prediction is not kept.

Newton (1669); Raphson (1690); Levenberg (1944), https://doi.org/10.1090/qam/10666; Goldfeld, Quandt & Trotter (1966), https://doi.org/10.2307/1909768
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import Surface, flat, hessian, within

MOST = 2000  # parameters, whose Hessian is 4 million numbers and whose factors take some 3 billion multiplications
GROW, LEAST = 4.0, 1e-6  # the shift's factor, and its first value as a share of the largest entry
TRUST, DOUBT, ACCEPT = 0.75, 0.25, 1e-4  # shares of the predicted fall


@optimizers(source="Levenberg (1944), https://doi.org/10.1090/qam/10666; Goldfeld, Quandt & Trotter (1966), https://doi.org/10.2307/1909768",
            reads="everything")
def newton(*, damping: float = 0.0, evaluations: int = 25) -> Solver:
    """Newton's method: to the bottom of the parabola that slope and Hessian describe, for at most 2,000 parameters.

    `damping` is the first shift of the Hessian's diagonal. It grows until the matrix has a Cholesky factor and the objective falls, and
    follows how well the fall was predicted; where `evaluations` trials do not fall, or less would than rounding shows, the weights stay
    and `failed` is 1. A schedule scales the step. Raises InputError for negative damping, no evaluations or too large a net.
    """
    within("newton", 0, damping=damping)
    within("newton", 1, evaluations=evaluations)

    def init(net: Net) -> Tree:
        vector = flat(net)
        if len(vector) > MOST:
            raise InputError(f"newton solves with the whole Hessian and takes nets of at most {MOST:,} parameters; this one has "
                             f"{len(vector):,}. Use --optimizer lbfgs or hessian-free, which need no matrix.")
        return {"damping": vector.new_tensor(damping)}

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface = Surface(net, batch, objective)
        where = surface.start.clone().requires_grad_()
        with surface.twice():
            value, slope = surface.slope(where, again=True)
            matrix, slope, shift = hessian(slope, where), slope.detach(), float(state["damping"])
        moved, hopeless = False, not math.isfinite(float(value)) or not bool(matrix.isfinite().all())
        largest = max(float(matrix.abs().max()), torch.finfo(matrix.dtype).tiny)
        hopeless |= largest * GROW * len(matrix) > torch.finfo(matrix.dtype).max  # which a shift would have to exceed
        while not moved and not hopeless and surface.evaluations <= evaluations:
            root, shift = _root(matrix, shift, LEAST * largest)
            move = -float(factor) * torch.cholesky_solve(slope[:, None], root).squeeze(1)            # (p,)
            fall = -float(slope @ move + move @ (matrix @ move) / 2)
            reached = surface.value(surface.start + move)
            share, hopeless = surface.share_of_fall(value, reached, fall)
            moved = share >= ACCEPT
            if moved:
                surface.move(surface.start + move)
            if not share >= DOUBT:
                shift = max(GROW * shift, LEAST * largest)
            elif share > TRUST:
                shift = shift / GROW if shift > LEAST * largest else 0.0
        if moved:
            state["damping"].fill_(shift)
        return state, surface.report(value, damping=float(state["damping"]), failed=float(not moved))

    return Solver(init, step)


def _root(matrix: Tensor, shift: float, least: float) -> tuple[Tensor, float]:
    """The Cholesky factor (p, p) of the matrix with its diagonal shifted, and the shift, raised until there is one."""
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    while True:
        root, wrong = torch.linalg.cholesky_ex(matrix + shift * eye)
        if not int(wrong):
            return root, shift
        shift = max(GROW * shift, least)
