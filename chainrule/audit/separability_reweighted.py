"""A plane that parts many samples, or the proof that there is none, by least squares in which samples behind it count ever more.

These are Newton's steps down the log of sum exp(-z v), the exponential of boosting, over signed samples z. Each solves least squares
for z u = 1 with weights s, and its residuals r = 1 - z u satisfy sum s r z = 0: where none is negative, s r proves that no plane parts
the samples, as Ho & Kashyap (1965), https://doi.org/10.1109/PGEC.1965.264137, found. Samples that could be parted from the others on
their own side (quasi-separation: Albert & Anderson (1984), https://doi.org/10.1093/biomet/71.1.1) have no share in a proof: they are left
out, and the rest is solved again. Rows are added as planes fail on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy as np

STEPS = 40          # of Newton's method on one set of rows
HOPE = 0.85         # how little of the weight may be left to go down before a proof is tried, and by how much less each time after
ROUNDS = 100        # of adding rows, or of leaving some out
LEAST = 1e-10       # added to a diagonal entry, as a share of it, so that columns that repeat each other can be solved for
SHORTEST = 1e-6     # part of a step
NEARLY = 0.1         # of the least height among the chosen rows, which others are to have too
FURTHER = 1         # steps after the first that parts all rows, so that its plane parts more of the others


class Conditions(Protocol):
    """Conditions z v > 0: how many, how long z is, some of them as rows (rows, width), and z v for all of them (count,)."""

    count: int
    width: int

    def rows(self, at: np.ndarray) -> np.ndarray: ...

    def heights(self, plane: np.ndarray) -> np.ndarray: ...


class Found(NamedTuple):
    """A plane (width,) with every height above `tolerance` (for entries of at most 1) where `share` is None; else the proof over `rows`.

    Undecided: neither, with the rows the search ended on.
    """

    plane: np.ndarray
    rows: np.ndarray
    share: np.ndarray | None
    decided: bool


def search(conditions: Conditions, *, first: int, most: int, tolerance: float) -> Found:
    """Begin with `first` rows, drawn at random, and add those the plane fails on; undecided where that would be more than `most`."""
    chosen, plane = np.random.default_rng(0).permutation(conditions.count)[:first], np.zeros(conditions.width)
    for _ in range(ROUNDS):
        try:
            plane, share, parts = _newton(conditions.rows(chosen), tolerance)
        except np.linalg.LinAlgError:  # weights that differ too much for their sums
            break
        if share is not None or not parts:
            return Found(plane, chosen, share, share is not None)
        heights = conditions.heights(plane)
        short = np.setdiff1d(np.flatnonzero(heights <= NEARLY * heights[chosen].min()), chosen)
        if len(short) == 0:
            return Found(plane, chosen, None, bool((heights > tolerance).all()))
        worst = short[np.argsort(heights[short])][: max(first // 2, len(chosen))]
        if len(chosen) + len(worst) > most:
            break
        chosen = np.concatenate([chosen, worst])
    return Found(plane, chosen, None, False)


def _newton(z: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """For rows z (n, p): the plane (p,), largest entry 1, reached; the shares (n,) of a proof, or None; whether it parts all rows."""
    plane, heights, hope, more = np.zeros(z.shape[1]), np.zeros(len(z)), HOPE, FURTHER
    for _ in range(STEPS):
        low = heights.min()
        weights = np.exp(low - heights)                                                # (n,)
        value = np.log(weights.sum()) - low
        weights /= weights.sum()
        step = _least_squares(z, weights)                                              # (p,)
        rise = z @ step                                                                # (n,)
        left = float(weights @ rise)  # the squared decrement: 0 at a bottom, and near 1, the weights' sum, where there is none
        if left < hope:
            hope = left * HOPE
            share = _proof(z, weights, tolerance)
            if share is not None:
                return _unit(plane + step), share, False
        length, ahead = 1.0, heights + rise
        while not _log_sum(ahead) <= value - 1e-4 * length * left and length > SHORTEST:
            length /= 2
            ahead = heights + length * rise
        if length <= SHORTEST:
            break
        plane, heights = plane + length * step, ahead
        if heights.min() > tolerance * np.abs(plane).max():
            more -= 1
            if more < 0:
                return _unit(plane), None, True
    return _unit(plane), None, bool(heights.min() > tolerance * np.abs(plane).max())


def _proof(z: np.ndarray, weights: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Shares (n,) of at least 0, of sum 1, with a mean of z that is zero within `tolerance`; or None."""
    at = np.flatnonzero(weights)
    for _ in range(ROUNDS):
        some, own = z[at], weights[at]
        over = 1 - some @ _least_squares(some, own)                                    # (rows,)
        if own @ over < 1e-6 * own.sum():
            return None        # the samples left can be parted
        if over.min() >= 0:
            share = np.zeros(len(z))
            share[at] = own * over
            share /= share.sum()
            return share if np.abs(share @ z).sum() <= tolerance else None
        at = at[over >= 0]
    return None


def _least_squares(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The u (p,) that makes sum weights (1 - z u)^2 least, with refinement of the normal equations' solution."""
    from scipy.linalg import cho_factor, cho_solve

    root = z * np.sqrt(weights)[:, None]
    matrix = root.T @ root                                                             # (p, p)
    diagonal = matrix.diagonal().copy()
    matrix[np.diag_indices_from(matrix)] += LEAST * np.maximum(diagonal, LEAST * max(diagonal.max(), 1e-300))
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    solution = np.zeros(z.shape[1])
    for _ in range(4):
        solution += cho_solve(factor, (weights * (1 - z @ solution)) @ z, check_finite=False)
    return solution


def _log_sum(heights: np.ndarray) -> float:
    """The log of sum exp(-heights)."""
    low = heights.min()
    return float(np.log(np.exp(low - heights).sum()) - low)


def _unit(plane: np.ndarray) -> np.ndarray:
    """With a largest entry of 1, where there is one."""
    largest = np.abs(plane).max()
    return plane / largest if largest > 0 else plane
