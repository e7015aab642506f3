"""Hessian-free optimisation: Newton-like steps for large nets, from products with the Gauss-Newton matrix alone.

Martens (2010), https://icml.cc/Conferences/2010/papers/458.pdf; Martens & Sutskever (2011), https://icml.cc/2011/papers/532_icmlpaper.pdf
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.abilities.sequences import HasStates
from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solver
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.rule import Report
from chainrule.core.tree import Tree
from chainrule.optim.solvers.curvature import GaussNewton, Surface, flat, within

GROW, SHRINK = 3 / 2, 2 / 3  # of the damping, where less than a quarter or more than three quarters of a predicted fall came
SPACING = 1.3                # iterates whose numbers are its powers are kept for going back
SHORTER, TRIALS, SUFFICIENT = 0.8, 40, 1e-2  # of the search along the solution
POWER = 0.75                 # of the preconditioner
SAMPLES_AT_ONCE = 16         # whose own gradients are held together


@optimizers("hessian-free", source="Martens (2010), https://icml.cc/Conferences/2010/papers/458.pdf", reads="everything")
def hessian_free(*, damping: float = 1.0, iterations: int = 250, progress: float = 5e-4, decay: float = 0.95, curvature: float = 1.0,
                 preconditioned: bool = False, structural: float = 0.0) -> Solver:
    """Martens's Hessian-free steps: the damped quadratic that the Gauss-Newton matrix describes, made small by conjugate gradients.

    These stop after `iterations`, or where the last tenth of them (ten at least) brought less than `progress` each, relative to all, and
    begin at `decay` times the last solution. Of the iterates on the way the one is taken before which the objective did not fall
    further, then shortened as needed. `curvature` is the share of rows, drawn anew each step, that the matrix is taken over; the
    objective and its slope always read all. `preconditioned` scales parameters by (mean squared slope + damping)^0.75. `structural` damps
    changes of the hidden states, `module.states(x)`, by so much times the damping. A schedule scales the first trial along the
    solution. Reports the damping, the `products`, and `failed`, 1 where nothing lowered the objective.
    Raises InputError for options out of range, or a module without `states` where `structural` asks for them.
    """
    within("hessian-free", 0, open=True, damping=damping, progress=progress)
    within("hessian-free", 1, iterations=iterations)
    within("hessian-free", 0, structural=structural)
    within("hessian-free", 0, 1, decay=decay, curvature=curvature)
    within("hessian-free", 0, open=True, curvature=curvature)

    def init(net: Net) -> Tree:
        if structural and not isinstance(net.module, HasStates):
            raise InputError(f"hessian-free damps changes of hidden states, which {type(net.module).__name__} does not offer by a method "
                             "states(x). Leave structural out.")
        vector = flat(net)
        return {"solution": torch.zeros_like(vector), "damping": vector.new_tensor(damping)}

    def step(net: Net, state: Tree, batch: Batch, objective: Objective, factor: float | Tensor) -> tuple[Tree, Report]:
        surface, strength = Surface(net, batch, objective), float(state["damping"])
        value, slope = surface.slope(surface.start)
        if not math.isfinite(float(value)):
            return state, surface.report(value, damping=strength, products=0.0, failed=1.0)
        some = surface.some(math.ceil(curvature * len(batch)))
        bare = GaussNewton(surface, surface.start, some)
        matrix = GaussNewton(surface, surface.start, some, structural=structural * strength) if structural else bare
        scales = (squared_slopes(surface, some) + strength) ** POWER if preconditioned else None
        iterates = minimise(lambda v: matrix(v) + strength * v, slope, decay * state["solution"], scales=scales, iterations=iterations,
                            progress=progress)
        last = iterates[-1].solution
        state["solution"].copy_(last)
        move, reached, end = _back(surface, iterates)
        promised = float(slope @ last + last @ bare(last) / 2)  # of the whole solution, without damping
        strength *= corrected((end - float(value)) / promised if promised else 1.0)
        state["damping"].fill_(strength)
        length, fell = _shorter(surface, move, reached, float(value), float(slope @ move), float(factor))
        surface.move(surface.start + length * move)
        products = bare.products + (matrix.products if structural else 0)
        return state, surface.report(value, damping=strength, products=float(products), failed=float(not fell))

    return Solver(init, step)


def corrected(share: float) -> float:
    """What the damping is multiplied by, after so large a share of the predicted fall: the heuristic of Levenberg and Marquardt."""
    return SHRINK if share > 0.75 else 1.0 if share >= 0.25 else GROW


class Iterate(NamedTuple):
    """An approximate solution (p,) and the quadratic there."""

    solution: Tensor
    value: float


def minimise(product: Callable[[Tensor], Tensor], slope: Tensor, start: Tensor, *, scales: Tensor | None = None, iterations: int,
             progress: float) -> list[Iterate]:
    """Conjugate gradients on slope' x + x' A x / 2: iterates ever further apart, the last one at the end, at least one.

    `scales` (p,) is the diagonal of the preconditioner. It ends where the last k = max(10, i / 10) of i iterations lowered the quadratic
    by less than k `progress` of its value, at `iterations`, or where a direction is flat or bends down.
    """
    x = start.clone()
    left = slope + product(x) if bool(x.any()) else slope.clone()                                   # (p,) the residual A x + slope
    values = [float(x @ (left + slope)) / 2]
    scaled = left if scales is None else left / scales
    direction, size = -scaled, float(left @ scaled)
    iterates: list[Iterate] = []
    mark = 1.0
    for i in range(1, iterations + 1):
        if size == 0:
            break
        bent = product(direction)
        bend = float(direction @ bent)
        if not bend > 0:
            break
        x = x + size / bend * direction
        left = left + size / bend * bent
        values.append(float(x @ (left + slope)) / 2)
        if i >= mark:
            iterates.append(Iterate(x, values[-1]))
            mark = math.ceil(mark * SPACING)
        k = max(10, i // 10)
        if i > k and values[-1] < 0 and values[-1] - values[-1 - k] > k * progress * values[-1]:
            break
        scaled = left if scales is None else left / scales
        size, before = float(left @ scaled), size
        direction = size / before * direction - scaled
    if not iterates or iterates[-1].solution is not x:
        iterates.append(Iterate(x, values[-1]))
    return iterates


def _back(surface: Surface, iterates: list[Iterate]) -> tuple[Tensor, float, float]:
    """From the last iterate back as long as the objective falls: the move (p,), the objective there, and that at the last iterate."""
    move = iterates[-1].solution
    reached = end = surface.value(surface.start + move)
    for iterate in reversed(iterates[:-1]):
        value = surface.value(surface.start + iterate.solution)
        if math.isfinite(reached) and value >= reached:
            break
        move, reached = iterate.solution, value
    return move, reached, end


def _shorter(surface: Surface, move: Tensor, reached: float, value: float, slope: float, factor: float) -> tuple[float, bool]:
    """The first length, from `factor` on and ever shorter, at which the objective falls enough; 0 and False if none does."""
    length = factor
    for trial in range(TRIALS):
        if trial or factor != 1:
            reached = surface.value(surface.start + length * move)
        if reached <= value + SUFFICIENT * length * min(slope, 0.0) and (slope < 0 or reached < value):
            return length, True
        length *= SHORTER
    return 0.0, False


def squared_slopes(surface: Surface, batch: Batch) -> Tensor:
    """The mean over samples of each parameter's squared slope (p,): the diagonal of the empirical Fisher matrix.

    A sample's own slope is that of its part of the mean loss, times how many samples there are; the steps of a sequence are one sample.
    """
    criterion, bare = surface.objective.of_outputs, batch.unweighted()

    def each(where: Tensor, row: Batch, shares: Tensor) -> Tensor:
        one = row.map(lambda t: t[None])
        costs = criterion.costs(surface.at(where)(one.x), one)[0]                                   # () or (t,)
        return torch.where(shares > 0, shares * costs, 0.0).sum()

    def one_by_one(where: Tensor, rows: Batch, shares: Tensor) -> Tensor:
        where = where.detach().requires_grad_()
        return torch.stack([torch.autograd.grad(each(where, rows[i], shares[i]), where)[0] for i in range(len(rows))])

    vectorised = torch.func.vmap(torch.func.grad(each), (None, 0, 0), randomness="same")
    slopes = one_by_one if surface.recurrent else vectorised  # torch's recurrent layers write where vmap cannot follow
    with surface.still(), torch.no_grad():
        few = bare.rows(0, SAMPLES_AT_ONCE)
        costs = criterion.costs(surface.at(surface.start)(few.x), few)                              # (few,) or (few, t)
    shares = len(batch) * bare.shares_of(costs.new_zeros(len(batch), *costs.shape[1:]))             # (n,) or (n, t)
    total = torch.zeros_like(surface.start)
    for begin in range(0, len(batch), SAMPLES_AT_ONCE):
        few = bare.rows(begin, begin + SAMPLES_AT_ONCE)
        with surface.still():
            squares = slopes(surface.start, few, shares[begin : begin + SAMPLES_AT_ONCE]).square()  # (few, p)
        total += batch.rows(begin, begin + SAMPLES_AT_ONCE).weighted(squares).sum(0)
    return total / len(batch)
