"""Annealed importance sampling: a partition function from runs between a distribution that is known and the one that is not.

Neal (2001), https://doi.org/10.1023/A:1008923215028; Salakhutdinov & Murray (2008), https://doi.org/10.1145/1390156.1390266
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chainrule.core.abilities.densities import Estimate

PIECES = ((0.0, 0.5, 500), (0.5, 0.9, 4000), (0.9, 1.0, 10_000))  # of the way: from, to, and how many temperatures in the paper
NORMAL = 1.96  # standard errors of an interval of 95 %


def inverse_temperatures(count: int) -> list[float]:
    """So many numbers from 0 to 1, at least two, as close together toward 1 as in the paper's section 4."""
    total = sum(steps for *_, steps in PIECES)
    share = torch.linspace(0, 1, max(count, 2), dtype=torch.float64) * total
    at = torch.zeros_like(share)
    begun = 0
    for low, high, steps in PIECES:
        at += ((share - begun) / steps).clamp(0, 1) * (high - low)
        begun += steps
    return [*at.tolist()[:-1], 1.0]


def estimated(log_weights: Tensor) -> Estimate:
    """The log of the mean of importance weights (chains,), with an interval of 95 % from the spread of the chains."""
    weights = log_weights.double()
    value = weights.logsumexp(0) - math.log(len(weights))
    relative = (weights - value).exp()                                    # of mean 1
    error = relative.std() / math.sqrt(len(weights)) if len(weights) > 1 else torch.full_like(value, math.inf)
    return Estimate(float(value), float(value - NORMAL * error), float(value + NORMAL * error))
