"""Whether a plane can part the classes: decided, with the plane or the proof that there is none, by a linear programme or, for many
samples, by reweighted least squares.

Mangasarian (1965), https://doi.org/10.1287/opre.13.3.444; the proof is a theorem of Gordan (1873), https://doi.org/10.1007/BF01442864; for
several classes, Kesler's construction: Duda & Hart (1973), Pattern Classification and Scene Analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from chainrule.audit.separability_reweighted import search
from chainrule.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

MOST = 4 * 10**6     # numbers in one linear programme, zeros left out: about a minute
SMALL = 2 * 10**5    # numbers up to which the linear programme, whose plane has the widest margin, comes first: about half a second
WIDE = 1600          # numbers in a plane up to which reweighted least squares come first, whose steps take about a second there
HELD = 4 * 10**7     # numbers in the rows of these
BRISK = 5 * 10**7    # numbers among which they decide within some ten seconds
BLOCK = 4096         # samples whose numbers are made double at once
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
    x, y = x.detach().cpu().flatten(1), y.detach().cpu().flatten()
    x = x if x.dtype in (torch.float32, torch.float64) else x.double()
    if len(x) != len(y) or len(x) == 0:
        raise InputError(f"separable expects a target for each sample; got {len(x)} samples and {len(y)} targets.")
    if not bool(x.isfinite().all()):
        raise InputError("separable expects finite inputs; some are not. Fill them in or leave their rows out.")
    two = y.is_floating_point() or bool((y < 0).any())
    if two and not bool((y.abs() == 1).all()):
        raise InputError("separable expects targets in {-1, +1} or class numbers; got real ones. Say which class each sample has.")
    classes = 2 if two else int(y.max()) + 1
    number = (y > 0).long() if two else y                                              # (n,)
    if classes < 2 or len(number.unique()) < 2:
        return _one_class(number, classes, x)
    near = _Near(x)
    if classes == 2:
        rows, rival = torch.arange(len(x)), 1 - number
        conditions: _Two | _Kesler = _Two(near, number.numpy())
    else:
        others = torch.arange(classes).expand(len(x), -1) != number[:, None]           # (n, classes)
        rows, rival = others.nonzero().T
        conditions = _Kesler(near, number.numpy(), rows.numpy(), rival.numpy(), classes)
    plane, share, chosen = _decided(conditions)
    planes = torch.from_numpy(plane).reshape(-1, x.shape[1] + 1)                       # (planes, d + 1)
    weight = planes[:, :-1] / near.scale
    bias = planes[:, -1] - weight @ near.mean
    distance, wide = _distances(x, number, weight, bias)
    if wide:
        return Verdict(True, weight, bias, distance, torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long),
                       torch.empty(0, dtype=torch.float64), 0.0)
    used = torch.from_numpy(share > 0)
    at = torch.from_numpy(chosen)[used]
    certificate = torch.from_numpy(share)[used]
    mean = _signed_mean(near.rows(rows[at].numpy()), number, rows[at], rival[at], certificate, classes)
    residual = float(mean.abs().sum())
    if residual > TOLERANCE:
        raise InputError(f"separable could not decide: the best plane misses by {distance:.2g}, and the proof that there is none by "
                         f"{residual:.2g} where {TOLERANCE:.0g} is allowed. The classes touch; remove duplicate rows, or scale the inputs.")
    return Verdict(False, weight, bias, distance, rows[at], rival[at], certificate, residual)


def one_against_rest(x: Tensor, y: Tensor) -> list[Verdict]:
    """For each class of y (n,), whether a plane parts it from all others. Raises InputError as `separable` does."""
    return [separable(x, 2 * (y == c).long() - 1) for c in range(int(y.max()) + 1)]


class _Near:
    """Inputs (n, d) as they are, with the middle and half the width of every column, by which rows are brought into [-1, 1]."""

    def __init__(self, x: Tensor):
        self.x, self.n, self.d = x.numpy(), *x.shape
        self.mean = torch.from_numpy(self.x.mean(0, dtype="float64"))                  # (d,)
        scale = torch.maximum(x.amax(0).double() - self.mean, self.mean - x.amin(0).double())
        self.scale = torch.where(scale > 0, scale, 1.0)                                # (d,)

    def rows(self, at: np.ndarray) -> np.ndarray:
        """Rows (len(at), d + 1), in double precision, with a last column of ones."""
        rows = np.ones((len(at), self.d + 1))
        rows[:, :-1] = (self.x[at] - self.mean.numpy()) / self.scale.numpy()
        return rows

    def scores(self, planes: np.ndarray) -> np.ndarray:
        """All rows times planes (planes, d + 1): (n, planes)."""
        weight = planes[:, :-1] / self.scale.numpy()
        bias = planes[:, -1] - weight @ self.mean.numpy()
        return np.concatenate([self.x[at : at + BLOCK].astype("float64") @ weight.T + bias for at in range(0, self.n, BLOCK)])


class _Two:
    """Conditions z v > 0 for signed points z (n, p)."""

    def __init__(self, near: _Near, number: np.ndarray):
        self.near, self.sign = near, 2.0 * number - 1
        self.width, self.count, self.filled = near.d + 1, near.n, near.d + 1

    def take(self, at: np.ndarray) -> Any:
        return self.rows(at)

    def rows(self, at: np.ndarray) -> np.ndarray:
        signed: np.ndarray = self.near.rows(at) * self.sign[at][:, None]
        return signed

    def heights(self, plane: np.ndarray) -> np.ndarray:
        return self.near.scores(plane[None])[:, 0] * self.sign


class _Kesler:
    """For sample i of class c and every other class r, the condition v_c x_i > v_r x_i, as rows of a sparse matrix."""

    def __init__(self, near: _Near, number: np.ndarray, numbers: np.ndarray, rival: np.ndarray, classes: int):
        self.near, self.number, self.sample, self.rival, self.classes = near, number, numbers, rival, classes
        self.width, self.count, self.filled = (near.d + 1) * classes, len(numbers), 2 * (near.d + 1)

    def take(self, at: np.ndarray) -> Any:
        from scipy.sparse import csr_array

        sample, p = self.sample[at], self.near.d + 1
        x = self.near.rows(sample)
        own = self.number[sample][:, None] * p + np.arange(p)
        other = self.rival[at][:, None] * p + np.arange(p)
        starts = np.arange(len(at) + 1) * 2 * p
        return csr_array((np.hstack([x, -x]).ravel(), np.hstack([own, other]).ravel(), starts), shape=(len(at), self.width))

    def rows(self, at: np.ndarray) -> np.ndarray:
        dense: np.ndarray = self.take(at).toarray()
        return dense

    def heights(self, plane: np.ndarray) -> np.ndarray:
        scores = self.near.scores(plane.reshape(self.classes, -1))
        heights: np.ndarray = scores[self.sample, self.number[self.sample]] - scores[self.sample, self.rival]
        return heights


def quick(samples: int, inputs: int, classes: int) -> bool:
    """Whether `separable` decides within some ten seconds: by a small linear programme, or by reweighted least squares."""
    width = (inputs + 1) * (1 if classes == 2 else classes)
    numbers = samples * (classes - 1) * (inputs + 1) * min(classes - 1, 2)
    return numbers <= SMALL or (width <= WIDE // 2 and numbers <= BRISK)


def _decided(conditions: _Two | _Kesler) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plane v in [-1, 1]^p with z v above zero throughout; or the shares (n,) of conditions that prove there is none; their numbers."""
    begin = np.random.default_rng(0).permutation(conditions.count)[:FIRST]
    if conditions.count * conditions.filled <= SMALL or conditions.width > WIDE:
        return _programme(conditions, begin)
    first = max(FIRST, 3 * conditions.width)
    outcome = search(conditions, first=first, most=max(first, HELD // conditions.width), tolerance=TOLERANCE)
    if outcome.decided:
        return outcome.plane, np.zeros(len(outcome.rows)) if outcome.share is None else outcome.share, outcome.rows
    return _programme(conditions, np.argsort(conditions.heights(outcome.plane))[:FIRST])


def _programme(conditions: _Two | _Kesler, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_decided`, with the plane whose least z v is greatest: by linear programmes that begin with the `chosen` conditions.

    Conditions are added as planes break them: a plane that fits all settles the matter, and so does a part that no plane fits.
    """
    from scipy.optimize import linprog

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
    scores = torch.cat([some.double() @ weight.T + bias for some in x.split(BLOCK)])   # (n, planes)
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


def _signed_mean(near: np.ndarray, number: Tensor, rows: Tensor, rival: Tensor, share: Tensor, classes: int) -> Tensor:
    """The mean of the conditions with these shares, by classes: zero where it proves that there is no plane."""
    points = torch.from_numpy(near) * share[:, None]                                   # (rows, d + 1)
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
