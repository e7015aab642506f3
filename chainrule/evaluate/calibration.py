"""Whether a net's probabilities mean what they say, and the one number that mends them.

Expected calibration error and temperature scaling: Guo, Pleiss, Sun & Weinberger (2017), https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval, wilson

BINS = 15
COLDEST, HOTTEST = 0.01, 100.0


@dataclass(frozen=True)
class Bin:
    """Cases whose greatest probability lies in (`low`, `high`]: how sure the net was on average, how often it was right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: Interval


def reliability(probabilities: Tensor, y: Tensor, *, bins: int = BINS, level: float = 0.95) -> list[Bin]:
    """The bins that hold any case, from probabilities (n, classes) and classes (n,)."""
    confidence, right, which = _binned(probabilities, y, bins)
    found = []
    for i in which.unique().tolist():
        inside = which == i
        n, k = int(inside.sum()), int(right[inside].sum())
        found.append(Bin(i / bins, (i + 1) / bins, n, float(confidence[inside].mean()), k / n, wilson(k, n, level)))
    return found


def ece(probabilities: Tensor, y: Tensor, *, bins: int = BINS) -> float:
    """The expected calibration error: the mean over cases of |accuracy - confidence| of the case's bin."""
    confidence, right, which = _binned(probabilities, y, bins)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, which, right - confidence)
    return float(gap.abs().sum() / len(which))


def temperature(logits: Tensor, y: Tensor) -> float:
    """The T for which softmax(logits / T) has the least log loss on (n, classes) and (n,); it never changes a prediction.

    The loss is convex in 1/T; its slope there is mean(E_p[z] - z_y), whose zero is found by bisection between T = 0.01
    and T = 100; where it has none between them (every case right, or nothing learnt), the nearer end is returned.
    """
    if logits.dim() != 2 or len(logits) != len(y) or len(y) == 0:
        raise InputError(f"Temperature scaling needs logits (n, classes) and classes (n,); got {tuple(logits.shape)} and {tuple(y.shape)}. "
                         "Give the validation outputs before the softmax.")
    z = logits.detach().cpu().double()
    z = z - z.amax(1, keepdim=True)
    y = y.detach().cpu()

    def slope(log_inverse: float) -> float:
        p = (z * math.exp(log_inverse)).softmax(1)                       # (n, classes)
        return float(((p * z).sum(1) - z.gather(1, y[:, None]).squeeze(1)).mean())

    low, high = -math.log(HOTTEST), -math.log(COLDEST)
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def bin_numbers(confidence: Tensor, bins: int = BINS) -> Tensor:
    """Which of `bins` equal bins (low, high] of [0, 1] each confidence falls in: (n,) -> (n,)."""
    return torch.bucketize(confidence, torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)[1:-1])


def _binned(probabilities: Tensor, y: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    if probabilities.dim() != 2 or len(probabilities) != len(y) or len(y) == 0:
        raise InputError(f"Calibration needs probabilities (n, classes) and classes (n,); got {tuple(probabilities.shape)} and "
                         f"{tuple(y.shape)}. Give one row of probabilities for each case.")
    confidence, predicted = probabilities.detach().cpu().double().max(1)  # (n,), (n,)
    return confidence, (predicted == y.detach().cpu()).double(), bin_numbers(confidence, bins)
