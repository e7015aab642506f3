"""Whether a plane can part the classes: decided by a linear programme, with the plane or the proof that there is none.

Mangasarian (1965), https://doi.org/10.1287/opre.13.3.444; the proof is a theorem of Gordan (1873), https://doi.org/10.1007/BF01442864; for
several classes, Kesler's construction: Duda & Hart (1973), Pattern Classification and Scene Analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

MOST = 4 * 10**6     # numbers in one linear programme, zeros left out: about a minute
FIRST = 1000         # conditions the programme begins with; those its plane breaks are added
TOLERANCE = 1e-9     # of the solver, and of a margin, relative to columns scaled to [-1, 1]


@dataclass(frozen=True)
class Verdict:
    """Separable: scores x @ weight.T + bias put every sample on its right side, `margin` from its plane at least (in Euclidean distance).

    Not separable: `share`, numbers of at least 0 with sum 1 for the conditions `rows` (sample) against `rival` (class), gives a mean of
    signed samples that is zero but for `residual`: no plane can have zero on its positive side. `weight` is (planes, d).
    """

    separable: bool
    weight: Tensor
    bias: Tensor
    margin: float
    rows: Tensor
    rival: Tensor
    share: Tensor
    residual: float

    def __str__(self) -> str:
        if self.separable:
            return f"The classes are linearly separable: a plane parts them with a margin of {self.margin:.4g}."
        return (f"The classes are not linearly separable: a mean of {len(self.rows)} signed samples is zero, within {self.residual:.1g}, "
                "so every plane has one of them on the wrong side.")


def separable(x: Tensor, y: Tensor) -> Verdict:
    """Decide for inputs (n, ...) and targets (n,), signs in {-1, +1} or class numbers; several classes get a plane each, all at once.

    Several classes are separable if each sample's own score can be the highest. In float64: a plane is accepted if it puts every sample
    strictly on its side, computed anew; a proof if its residual is at most 1e-9 for columns scaled to [-1, 1]. Raises InputError
    for targets of another kind, inputs that are not finite, a programme that would be too large, or where neither is reached.
    """
    x, y = x.detach().cpu().flatten(1).double(), y.detach().cpu().flatten()
    if len(x) != len(y) or len(x) == 0:
        raise InputError(f"separable expects a target for each sample; got {len(x)} samples and {len(y)} targets.")
    if not bool(x.isfinite().all()):
        raise InputError("separable expects finite inputs; some are not. Fill them in or leave their rows out.")
    two = y.is_floating_point() or bool((y < 0).any())
    if two and not bool((y.abs() == 1).all()):
        raise InputError("separable expects targets in {-1, +1} or class numbers; got real ones. Say which class each sample has.")
    classes = 2 if two else int(y.max()) + 1
    number = (y > 0).long() if two else y                                              # (n,)
    scale = (x - x.mean(0)).abs().amax(0)                                              # (d,)
    scale = torch.where(scale > 0, scale, 1.0)
    near = (x - x.mean(0)) / scale                                                     # (n, d), in [-1, 1]
    if classes < 2 or len(number.unique()) < 2:
        return _one_class(number, classes, x)
    if classes == 2:
        rows, rival = torch.arange(len(x)), 1 - number
        point = torch.cat([near, torch.ones(len(x), 1)], 1) * (2 * number - 1)[:, None]
        plane, share, chosen = _decided(_Two(point.numpy()))
    else:
        others = torch.arange(classes).expand(len(x), -1) != number[:, None]           # (n, classes)
        rows, rival = others.nonzero().T
        plane, share, chosen = _decided(_Kesler(near.numpy(), number.numpy(), rows.numpy(), rival.numpy(), classes))
    planes = torch.from_numpy(plane).reshape(-1, x.shape[1] + 1)                       # (planes, d + 1)
    weight = planes[:, :-1] / scale
    bias = planes[:, -1] - weight @ x.mean(0)
    distance, wide = _distances(x, number, weight, bias)
    if wide:
        return Verdict(True, weight, bias, distance, torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long),
                       torch.empty(0, dtype=torch.float64), 0.0)
    used = torch.from_numpy(share > 0)
    at = torch.from_numpy(chosen)[used]
    held = torch.from_numpy(share)[used]
    mean = _signed_mean(near, number, rows[at], rival[at], held, classes)
    residual = float(mean.abs().sum())
    if residual > TOLERANCE:
        raise InputError(f"separable could not decide: the best plane misses by {distance:.2g}, and the proof that there is none by "
                         f"{residual:.2g} where {TOLERANCE:.0g} is allowed. The classes touch; remove duplicate rows, or scale the inputs.")
    return Verdict(False, weight, bias, distance, rows[at], rival[at], held, residual)


def one_against_rest(x: Tensor, y: Tensor) -> list[Verdict]:
    """For each class of y (n,), whether a plane parts it from all others. Raises InputError as `separable` does."""
    return [separable(x, 2 * (y == c).long() - 1) for c in range(int(y.max()) + 1)]


class _Two:
    """Conditions z v > 0 for signed points z (n, p)."""

    def __init__(self, points: np.ndarray):
        self.points, self.width, self.count, self.filled = points, points.shape[1], len(points), points.shape[1]

    def take(self, at: np.ndarray) -> Any:
        return self.points[at]

    def heights(self, plane: np.ndarray) -> np.ndarray:
        return self.points @ plane


class _Kesler:
    """For sample i of class c and every other class r, the condition v_c x_i > v_r x_i, as rows of a sparse matrix."""

    def __init__(self, x: np.ndarray, number: np.ndarray, rows: np.ndarray, rival: np.ndarray, classes: int):
        import numpy as np

        self.x = np.hstack([x, np.ones((len(x), 1))])
        self.number, self.rows, self.rival, self.classes = number, rows, rival, classes
        self.width, self.count, self.filled = self.x.shape[1] * classes, len(rows), 2 * self.x.shape[1]

    def take(self, at: np.ndarray) -> Any:
        import numpy as np
        from scipy.sparse import csr_array

        x, p = self.x[self.rows[at]], self.x.shape[1]
        own = self.number[self.rows[at]][:, None] * p + np.arange(p)
        other = self.rival[at][:, None] * p + np.arange(p)
        starts = np.arange(len(at) + 1) * 2 * p
        return csr_array((np.hstack([x, -x]).ravel(), np.hstack([own, other]).ravel(), starts), shape=(len(at), self.width))

    def heights(self, plane: np.ndarray) -> np.ndarray:
        scores = self.x @ plane.reshape(self.classes, -1).T
        return scores[self.rows, self.number[self.rows]] - scores[self.rows, self.rival]


def _decided(conditions: _Two | _Kesler) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane v in [-1, 1]^p whose least z v is greatest; the multipliers (n,) of the conditions it was found from; their numbers.

    Conditions are added as planes break them: one that fits all settles the matter, and so does a part that no plane fits.
    """
    import numpy as np
    from scipy.optimize import linprog

    chosen = np.random.default_rng(0).permutation(conditions.count)[:FIRST]
    while True:
        if len(chosen) * conditions.filled > MOST:
            raise InputError(f"separable would need a linear programme of {len(chosen):,} conditions with {conditions.filled:,} numbers "
                             f"each; at most {MOST:,} numbers are taken. Give it fewer samples or inputs.")
        matrix = conditions.take(chosen)
        if isinstance(matrix, np.ndarray):
            rising: Any = np.hstack([-matrix, np.ones((len(chosen), 1))])
        else:
            from scipy.sparse import csr_array, hstack

            rising = hstack([-matrix, csr_array(np.ones((len(chosen), 1)))], format="csr")
        aim = np.zeros(conditions.width + 1)
        aim[-1] = -1.0
        solved = linprog(aim, A_ub=rising, b_ub=np.zeros(len(chosen)), bounds=[(-1, 1)] * conditions.width + [(None, None)],
                         method="highs", options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
        if solved.x is None:
            raise InputError(f"separable could not decide: the linear programme ended without an answer ({solved.message}). "
                             "Scale the inputs, or give it fewer samples.")
        plane, share = solved.x[:-1], np.maximum(-solved.ineqlin.marginals, 0.0)
        broken = np.flatnonzero(conditions.heights(plane) <= TOLERANCE)
        fresh = np.setdiff1d(broken, chosen)
        if solved.x[-1] <= TOLERANCE or len(fresh) == 0:
            return plane, share / max(share.sum(), 1e-300), chosen
        worst = fresh[np.argsort(conditions.heights(plane)[fresh])][: max(FIRST, len(chosen))]
        chosen = np.concatenate([chosen, worst])


def _distances(x: Tensor, number: Tensor, weight: Tensor, bias: Tensor) -> tuple[float, bool]:
    """How far the sample nearest to a plane lies on its right side (negative: wrong side), and whether all are strictly right."""
    scores = x @ weight.T + bias                                                       # (n, planes)
    if len(weight) == 1:
        height = scores[:, 0] * (2 * number - 1)                                       # (n,)
        length = weight.norm().expand(len(x))
    else:
        own = scores.gather(1, number[:, None])
        gaps = (own - scores).scatter(1, number[:, None], float("inf"))                # (n, classes)
        lengths = (weight[:, None] - weight).norm(dim=2)[number]                       # (n, classes)
        lengths = torch.where(lengths > 0, lengths, 1.0)
        height, nearest = (gaps / lengths).min(1)
        length = torch.ones_like(height)
        height = torch.where(gaps.gather(1, nearest[:, None]).squeeze(1) > 0, height, height.clamp(max=0.0))
    least = float((height / torch.where(length > 0, length, 1.0)).min())
    return least, least > 0


def _signed_mean(near: Tensor, number: Tensor, rows: Tensor, rival: Tensor, share: Tensor, classes: int) -> Tensor:
    """The mean of the conditions with these shares, by classes: zero where it proves that there is no plane."""
    points = torch.cat([near[rows], torch.ones(len(rows), 1)], 1) * share[:, None]
    into = torch.zeros(classes, points.shape[1], dtype=torch.float64)
    into.index_add_(0, number[rows], points)
    into.index_add_(0, rival, -points)
    return into[1] if classes == 2 else into.flatten()


def _one_class(number: Tensor, classes: int, x: Tensor) -> Verdict:
    """A plane far from everything."""
    planes = 1 if classes <= 2 else classes
    bias = torch.full((planes,), -1.0, dtype=torch.float64)
    bias[0 if planes == 1 else int(number[0])] = 1.0 if planes > 1 or int(number[0]) else -1.0
    none = torch.empty(0, dtype=torch.long)
    return Verdict(True, torch.zeros(planes, x.shape[1], dtype=torch.float64), bias, float("inf"), none, none, none.double(), 0.0)
