"""The arithmetic of boosting: how samples and nets are weighted from round to round, and what the next net is to fit.

Freund & Schapire (1997), https://doi.org/10.1006/jcss.1997.1504; Zhu, Zou, Rosset & Hastie (2009),
https://doi.org/10.4310/SII.2009.v2.n3.a8 (SAMME, several classes); Friedman (2001), https://doi.org/10.1214/aos/1013203451 (gradients)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DOUBLINGS, HALVINGS = 20, 60


def samme_round(weights: Tensor, wrong: Tensor, classes: int) -> tuple[float, float, Tensor]:
    """Weighted error, the net's vote and the samples' next weights (n,), from their weights (n,), summing to 1, and who was wrong (n,).

    The vote is log((1 - error) / error) + log(classes - 1), which is above 0 where the net is better than chance; a net that is never
    wrong is given an error of half a sample, since a vote without bound would silence the others.
    """
    error = float(weights[wrong].sum() / weights.sum())
    bounded = max(error, 0.5 / len(weights))
    vote = math.log((1 - bounded) / bounded) + math.log(classes - 1) if bounded < 1 else -math.inf
    following = weights * torch.where(wrong, math.exp(min(vote, 700.0)), 1.0)
    return error, vote, following / following.sum()


def negative_gradient(outputs: Tensor, y: Tensor) -> Tensor:
    """What a sample's loss asks of its outputs (n, k): the residual for values (n, k), one-hot less softmax for class numbers (n,)."""
    if y.is_floating_point():
        return y - outputs
    return torch.zeros_like(outputs).scatter(1, y[:, None], 1.0) - outputs.softmax(1)


def line_search(outputs: Tensor, direction: Tensor, y: Tensor) -> float:
    """The step of at least 0 along `direction` (n, k) that lowers the loss most, by halving where its slope changes sign."""

    def slope(step: float) -> float:
        return -float((negative_gradient(outputs + step * direction, y) * direction).sum())

    if slope(0.0) >= 0:
        return 0.0
    high = next((2.0**i for i in range(DOUBLINGS) if slope(2.0**i) >= 0), 2.0**DOUBLINGS)
    low = 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 0.5 * (low + high)


def start_of(y: Tensor, outputs: int) -> Tensor:
    """The best constant outputs (k,): the mean of values (n, k), the log of each class's share among class numbers (n,)."""
    if y.is_floating_point():
        return y.double().mean(0)
    shares = torch.bincount(y, minlength=outputs).double() / len(y)
    return shares.clamp(min=0.5 / len(y)).log()


