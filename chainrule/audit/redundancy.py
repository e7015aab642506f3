"""Columns that say nothing, or nothing new: constant, alike, or sums of others; and what permuting or having one alone does.

Golub (1965), https://doi.org/10.1007/BF01436075 (pivoted QR); Breiman (2001), https://doi.org/10.1023/A:1010933404324 (permutation)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ALIKE = 0.999
VANISHING = 1e-6    # what is left of a column's length, once others are taken out of it, that counts as nothing in single precision
TERMS = 0.01        # coefficients of standardised columns below it are rounding, or say little


@dataclass(frozen=True)
class Redundant:
    """Columns by number: `constant`; `alike` as (kept, other, correlation); `dependent` as (column, its terms, their coefficients)."""

    constant: list[int]
    alike: list[tuple[int, int, float]]
    dependent: list[tuple[int, list[int], list[float]]]


def redundant(x: Tensor) -> Redundant:
    """What columns (n, d) repeat: constants first, then |correlation| > 0.999, then linear dependence among the others, with a constant.

    Coefficients are of columns as they are. Dependence is sought where there are more rows than columns; otherwise it is no news.
    """
    from scipy.linalg import lstsq, qr

    x = x.double()
    sd = x.std(0, correction=0) if len(x) else torch.zeros(x.shape[1])
    constant = [i for i, column in enumerate(x.unbind(1)) if bool((column == column[:1]).all())]
    gone, alike = set(constant), []
    z = (x - x.mean(0)) / sd.clamp_min(1e-300)                                # (n, d), standardised
    correlation = z.T @ z / max(len(x), 1)                                    # (d, d)
    for i, j in (correlation.abs() > ALIKE).triu(1).nonzero().tolist():
        if i not in gone and j not in gone:
            alike.append((i, j, float(correlation[i, j])))
            gone.add(j)
    left = [i for i in range(x.shape[1]) if i not in gone]
    dependent = []
    if len(left) > 1 and len(x) > len(left) + 1:
        r, pivots = qr(z[:, left].numpy(), mode="r", pivoting=True)
        lengths = abs(r.diagonal())
        rank = int((lengths > VANISHING * lengths[0]).sum())
        base, rest = [left[p] for p in pivots[:rank]], [left[p] for p in pivots[rank:]]
        for column in sorted(rest):
            solution = torch.from_numpy(lstsq(z[:, base].numpy(), z[:, column].numpy())[0])
            terms = [k for k, c in enumerate(solution.tolist()) if abs(c) > TERMS]
            dependent.append((column, [base[k] for k in terms], [float(solution[k] * sd[column] / sd[base[k]]) for k in terms]))
    return Redundant(constant, alike, dependent)


@dataclass(frozen=True)
class Importance:
    """By how much a row's loss rises, in the mean, when a feature is permuted among the rows, with a 95 % interval."""

    mean: float
    low: float
    high: float


def permutation_importance(losses: Callable[[Tensor], Tensor], x: Tensor, groups: Sequence[Sequence[int]], *, repeats: int = 5,
                           seed: int = 0) -> Tensor:
    """The rise (n, groups) of each row's loss, averaged over repeats, when the columns of a group are permuted together.

    `losses(x) -> (n,)` runs rows (n, d) that the net was not trained on. Columns of one category belong in one group.
    """
    generator = torch.Generator().manual_seed(seed)
    plain = losses(x).double()                                               # (n,)
    rises = torch.zeros(len(x), len(groups), dtype=torch.float64)
    for g, columns in enumerate(groups):
        for _ in range(repeats):
            mixed = x.clone()
            mixed[:, list(columns)] = x[torch.randperm(len(x), generator=generator)][:, list(columns)]
            rises[:, g] += (losses(mixed).double() - plain) / repeats
    return rises


def importances(rises: Tensor) -> list[Importance]:
    """Mean and Gaussian interval over rows (n, groups)."""
    mean, error = rises.mean(0), rises.std(0) / max(len(rises), 1) ** 0.5
    return [Importance(m, m - 1.96 * e, m + 1.96 * e) for m, e in zip(mean.tolist(), error.tolist(), strict=True)]


def skill_alone(x: Tensor, y: Tensor, folds: Sequence[Tensor], groups: Sequence[Sequence[int]], *, classes: int) -> list[float]:
    """How well each group of columns (n, d) predicts the target by itself on held-out `folds` of rows: 0 as without it, 1 without error.

    The better of a small tree and a straight line. `classes` is 0 for real targets (n, k), the number of classes for (n,) class numbers;
    skill is then the share of the most frequent class's errors that are avoided, else the share of variance explained.
    """
    return [max(_skill(x[:, list(columns)], y, folds, classes, straight) for straight in (False, True)) for columns in groups]


def _skill(x: Tensor, y: Tensor, folds: Sequence[Tensor], classes: int, straight: bool) -> float:
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if straight and classes:
        return 0.0
    wrong, without = 0.0, 0.0
    for fold in folds:
        others = torch.ones(len(x), dtype=torch.bool)
        others[fold] = False
        model = (DecisionTreeClassifier(max_depth=8, min_samples_leaf=3, random_state=0) if classes else
                 LinearRegression() if straight else DecisionTreeRegressor(max_depth=8, min_samples_leaf=3, random_state=0))
        predictions = torch.from_numpy(model.fit(x[others].numpy(), y[others].numpy()).predict(x[fold].numpy()))
        if classes:
            wrong += float((predictions != y[fold]).sum())
            without += float((y[fold] != y[others].mode().values).sum())
        else:
            predictions = predictions.reshape(y[fold].shape)
            wrong += float((predictions - y[fold]).square().sum())
            without += float((y[others].mean(0) - y[fold]).square().sum())
    return 1 - wrong / without if without else 0.0
