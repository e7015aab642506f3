"""Where small functions of a few numbers are zero, or lowest: bisection, Newton-Raphson and gradient descent, each with its path.

Bolzano (1817) (bisection); Raphson (1690), Analysis aequationum universalis (Newton's method); Cauchy (1847), C. R. Acad. Sci. 25:536
(gradient descent). Plain functions for problems that fit on paper; nets have optimizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError

Function = Callable[[Tensor], Tensor]  # of a row of numbers (d,), or a lone one (), to a number ()


@dataclass(frozen=True)
class Solution:
    """Where it ended, the value there, how many steps it took, whether it got within the tolerance, and every point on the way."""

    x: Tensor
    value: float
    steps: int
    converged: bool
    path: Tensor


def bisection(f: Function, low: float, high: float, *, tolerance: float = 1e-9, most: int = 200) -> Solution:
    """A zero of `f` between `low` and `high`, where its signs differ: halve, and keep the half over which the sign changes.

    Converged once the half is at most `tolerance` wide on either side. Raises InputError where the signs do not differ.

    >>> round(float(bisection(lambda x: x * x - 2, 0.0, 2.0).x), 6)
    1.414214
    """
    ends = torch.tensor([low, high], dtype=torch.float64)
    a, b = (float(f(end)) for end in ends)
    if not low < high or not a * b <= 0:
        raise InputError(f"bisection expects two ends, low < high, at which the function has different signs; got f({low}) = {a:.6g} and "
                         f"f({high}) = {b:.6g}. Choose ends on either side of a zero.")
    if a == 0 or b == 0:
        at = ends[0 if a == 0 else 1]
        return Solution(at, 0.0, 0, True, at[None])
    path = []
    for _ in range(most):
        middle = ends.mean()
        path.append(middle)
        value = float(f(middle))
        if value == 0 or float(ends[1] - ends[0]) / 2 <= tolerance:
            break
        ends[0 if value * a > 0 else 1] = middle
    return Solution(middle, value, len(path), value == 0 or float(ends[1] - ends[0]) / 2 <= tolerance, torch.stack(path))


def newton_raphson(f: Function, start: Tensor | float, *, minimise: bool = False, tolerance: float = 1e-9, most: int = 100) -> Solution:
    """A zero of `f` from `start`, by steps f / f'; with `minimise`, a zero of its gradient by the exact Hessian.

    Converged once the step's length is at most `tolerance`. Raises InputError where the derivative, or the Hessian, is singular: there
    is no step then; and for a zero of a function of several numbers, whose zeros are no points.

    >>> lowest = newton_raphson(lambda x: x * x - 6 * x + 10, 0.0, minimise=True)
    >>> float(lowest.x), lowest.value, lowest.converged
    (3.0, 1.0, True)
    """
    x = torch.as_tensor(start, dtype=torch.float64)
    if not minimise and x.numel() != 1:
        raise InputError(f"newton_raphson finds zeros of functions of one number; got a start of {x.numel()}. Write minimise=True for a "
                         "point where the gradient is zero.")
    path, converged = [x], False
    while len(path) <= most and not converged:
        if minimise:
            slope, bend = torch.func.grad(f)(x).reshape(-1), torch.func.hessian(f)(x).reshape(x.numel(), -1)
        else:
            slope, bend = f(x).reshape(-1), torch.func.grad(f)(x).reshape(1, 1)
        solved, info = torch.linalg.solve_ex(bend, slope)
        if int(info) or not bool(solved.isfinite().all()):
            where = ", ".join(f"{v:.6g}" for v in x.reshape(-1).tolist())
            what = "Hessian is singular" if minimise else "slope is zero or no number"
            raise InputError(f"Newton's way cannot go on from {where}: the {what} there. Start elsewhere, or use "
                             f"{'gradient descent' if minimise else 'bisection'}.")
        x = x - solved.reshape(x.shape)
        path.append(x)
        converged = float(solved.norm()) <= tolerance
    return Solution(x, float(f(x)), len(path) - 1, converged, torch.stack(path))


def gradient_descent(f: Function, start: Tensor | float, *, rate: float = 0.1, tolerance: float = 1e-9, most: int = 10_000) -> Solution:
    """A minimum of `f` from `start`, by steps of `rate` times the gradient.

    Converged once the gradient's length is at most `tolerance`; a rate too large for the function ends, not converged, where numbers do.
    Raises InputError for a rate that is not positive.
    """
    if not 0 < rate < float("inf"):
        raise InputError(f"gradient_descent expects rate to be a number above 0; got {rate}. Write rate=0.1.")
    x = torch.as_tensor(start, dtype=torch.float64)
    path, slope = [x], torch.func.grad(f)(x)
    while len(path) <= most and tolerance < float(slope.norm()) < float("inf"):
        x = x - rate * slope
        path.append(x)
        slope = torch.func.grad(f)(x)
    return Solution(x, float(f(x)), len(path) - 1, float(slope.norm()) <= tolerance, torch.stack(path))
