"""Least squares by Gauss's linearisation: Jacobians and QR, damped as Levenberg and Marquardt do.

Gauss (1809); Levenberg (1944), https://doi.org/10.1090/qam/10666; Marquardt (1963), https://doi.org/10.1137/0111030; the damping's course
is Nielsen's (1999), https://orbit.dtu.dk/en/publications/damping-parameter-in-marquardts-method
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import Surface, flat, jacobian, within

MOST = 20_000_000  # numbers in a Jacobian
SHORTER = 0.5      # what Gauss-Newton multiplies a step by that does not lower the loss
ACCEPT = 1e-4      # the least share of the predicted fall


@optimizers("levenberg", source="Marquardt (1963), https://doi.org/10.1137/0111030", reads="everything")
def levenberg(*, damping: float = 1e-3, evaluations: int = 25) -> Solver:
    """Levenberg & Marquardt's least squares: Gauss's step, shortened in all directions the more the worse it predicts.

    `damping` is the first one, relative to the largest squared column of the Jacobian. It shrinks with steps that keep what they promise
    and grows until the loss falls; where `evaluations` trials do not fall, the weights stay and `failed` is 1. A schedule scales the step.
    Raises InputError for another loss than squared, an l1 penalty, a Jacobian above 20 million numbers, or damping that is not positive.
    """
    within("levenberg", 0, open=True, damping=damping)
    within("levenberg", 1, evaluations=evaluations)
    return _least_squares("levenberg", damping, evaluations)


@optimizers("gauss-newton", source="Gauss (1809), Theoria motus corporum coelestium", reads="everything")
def gauss_newton(*, evaluations: int = 25) -> Solver:
    """Gauss's least squares: the exact solution for outputs made linear, the step halved until the loss falls.

    Where `evaluations` trials do not fall, the weights stay and `failed` is 1. A schedule scales the step. Raises InputError for another
    loss than squared, an l1 penalty, or a Jacobian above 20 million numbers.
    """
    within("gauss-newton", 1, evaluations=evaluations)
    return _least_squares("gauss-newton", 0.0, evaluations)


def _least_squares(name: str, damping: float, evaluations: int) -> Solver:
    def init(net: Net) -> Tree:
        vector = flat(net)
        return {"damping": vector.new_tensor(damping), "growth": vector.new_tensor(2.0), "begun": vector.new_zeros(())}

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface = Surface(net, batch, objective)
        where = surface.start.clone().requires_grad_()
        with surface.still(), surface.twice():
            left = residuals(name, surface, where)                                                  # (m,)
            surface.evaluations += 1
            matrix, left = jacobian(left, where), left.detach()                                     # (m, p)
        value, slope = left.square().sum() / 2, matrix.T @ left
        largest = float(matrix.square().sum(0).max())
        rounding = max(matrix.shape) * torch.finfo(matrix.dtype).eps  # below so much of the largest, what a singular value is
        if damping and not bool(state["begun"]):
            state["damping"].mul_(largest)
        state["begun"].fill_(1)
        shift, growth, length = float(state["damping"]), float(state["growth"]), float(factor)
        moved, hopeless = False, not math.isfinite(float(value)) or not math.isfinite(largest)
        whole = None
        while not moved and not hopeless and surface.evaluations <= evaluations:
            if whole is None or damping:
                whole = _solved(matrix, left, max(shift, rounding * rounding * largest, torch.finfo(matrix.dtype).tiny))  # (p,)
            move = -length * whole
            fall = -float(slope @ move + (matrix @ move).square().sum() / 2)
            with surface.still(), torch.no_grad():
                reached = float(residuals(name, surface, surface.start + move).square().sum()) / 2
            surface.evaluations += 1
            share, hopeless = surface.share_of_fall(value, reached, fall)
            moved = share >= ACCEPT
            if moved:
                surface.move(surface.start + move)
                shift, growth = shift * max(1 / 3, 1 - (2 * min(share, 1.0) - 1) ** 3), 2.0
            elif damping:
                shift, growth = shift * growth, growth * 2
            else:
                length *= SHORTER
        if moved:
            state["damping"].fill_(shift)
            state["growth"].fill_(growth)
        return state, surface.report(value, damping=float(state["damping"]), failed=float(not moved))

    return Solver(init, step, partial(_only_squares, name))


def _only_squares(name: str, objective: Objective) -> None:
    loss = objective.of_outputs.loss.name
    if loss != "squared":
        raise InputError(f"{name} solves least squares and takes only the squared loss; got {loss}. Use --loss squared, or --optimizer "
                         "hessian-free, which takes any loss.")
    if objective.l1:
        raise InputError(f"{name} solves least squares, to which an l1 penalty does not belong; got l1={objective.l1}. Use l2, or "
                         "--optimizer lbfgs.")


def residuals(name: str, surface: Surface, where: Tensor) -> Tensor:
    """A vector (m,), half of whose squared length is the objective: weighted differences to the targets, and weights under l2.

    The differences of a step that does not exist are zero, whatever the outputs there.
    """
    objective, batch = surface.objective, surface.batch
    outputs = surface.at(where)(batch.x)                                                            # (n, ...)
    if outputs.numel() * len(where) > MOST:
        raise InputError(f"{name} solves with the whole Jacobian, of at most {MOST:,} numbers; {outputs.numel():,} outputs by "
                         f"{len(where):,} parameters are more. Use --optimizer hessian-free or lbfgs, or give a smaller --batch.")
    assert batch.y is not None
    share = batch.shares_of(objective.of_outputs.costs(outputs.detach(), batch))                    # (n,) or (n, t)
    share = share.reshape(*share.shape, *[1] * (outputs.dim() - share.dim()))
    apart = share.sqrt() * (outputs - one_hot_like(batch.y, outputs))                               # (n, ...)
    left = torch.where(share > 0, apart, 0.0).flatten()
    if objective.l2:
        left = torch.cat([left, math.sqrt(objective.l2) * surface.weights() * where])
    return left


def _solved(matrix: Tensor, left: Tensor, shift: float) -> Tensor:
    """The d (p,) that makes |J d - r|^2 + shift |d|^2 least, by QR of J on top of a diagonal, which squares no condition number."""
    p = matrix.shape[1]
    diagonal = math.sqrt(shift) * torch.eye(p, dtype=matrix.dtype, device=matrix.device)
    q, r = torch.linalg.qr(torch.cat([matrix, diagonal]))
    solution: Tensor = torch.linalg.solve_triangular(r, (q[: len(left)].T @ left)[:, None], upper=True).squeeze(1)
    return solution
