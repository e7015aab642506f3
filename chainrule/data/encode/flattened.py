"""Columns that one value makes flat: it is so far from all others that, once scaled, these hardly differ.

The share of one group in the sum of squares about the mean: Fisher (1925), Statistical Methods for Research Workers, chapter 7
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.data.encode.moments import Moments

# Of the standard deviation of all rows, that of the others: below it they reach a net as numbers that differ by thousandths, which
# training at usual rates does not tell apart. Heavy tails do not come to that: of n draws the largest would have to be 1000 times what
# all others together add up to (the root of their sum of squares), which a Pareto tail of index 2 does in one column of 10^6, one of
# index 1, which has no mean, in one of 10^3.
FLAT = 1e-3


@dataclass(frozen=True)
class Lone:
    """The value that flattens a column, in how many rows it is, and the place of the first among those looked at, from 0."""

    value: float
    rows: int
    first: int

    def sentence(self, what: str, row: int, advice: str, *, written: str = "", unit: str = "row") -> str:
        """What is said of it; `row` counts from 0, `advice` is for where it is right, `written` the value as a user would write it."""
        where = f"{unit} {row + 1}" if self.rows == 1 else f"{self.rows:,} {unit}s, the first of them {unit} {row + 1}"
        return (f"{what} is {written or f'{self.value:.15g}'} in {where}, so far from all other {unit}s that these hardly differ once they "
                f"are scaled. If it is a mistake, or stands for a missing value, correct it or leave it empty; {advice}.")


def flattened(moments: Moments, pieces: Callable[[int], Iterable[Tensor]]) -> Iterator[tuple[int, Lone]]:
    """The features, by number, that one value flattens; `pieces` gives the values (m,) of a feature again, NaN where missing.

    A value in c of n rows, at distance d from the mean of all, has the share d^2 n c / (n - c) in their sum of squares, and the others the
    rest. What the moments leave open, whether so many rows hold it and whether the others differ at all, is looked up for the few features
    that come into question.
    """
    high, low, mean, square, n = *(t.reshape(-1) for t in (moments.high, moments.low, moments.mean, moments.square)), moments.count
    far = torch.where(high - mean > mean - low, high, low)                                  # (d,)
    away = (far - mean).square()
    rows = (n * square / (square + away)).round()                    # that alone could leave the others without spread
    others = (square - away * rows / (n - rows)) * n / (n - rows)    # their mean squared deviation
    for feature in ((square > 0) & (2 * rows < n) & (others < FLAT**2 * square)).nonzero()[:, 0].tolist():
        lone = _looked_up(pieces(feature), float(far[feature]))
        if lone is not None and lone.rows == int(rows[feature]):
            yield feature, lone


def _looked_up(pieces: Iterable[Tensor], value: float) -> Lone | None:
    """Where a value is; None where the others are all the same: two values are told apart, however far they lie."""
    rows, first, at = 0, -1, 0
    low, high = float("inf"), -float("inf")
    for values in pieces:
        here = values.double() == value
        if bool(here.any()):
            first = at + int(here.nonzero()[0, 0]) if first < 0 else first
            rows += int(here.sum())
        others = values[~here & ~values.isnan()]
        if len(others):
            low, high = min(low, float(others.min())), max(high, float(others.max()))
        at += len(values)
    return Lone(value, rows, first) if high > low else None
