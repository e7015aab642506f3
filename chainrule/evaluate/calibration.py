"""Whether a net's probabilities mean what they say, and the one number that mends them.

Expected calibration error and temperature scaling: Guo, Pleiss, Sun & Weinberger (2017), https://arxiv.org/abs/1706.04599; that it errs
upwards, and nets simulated to see by how much: Broecker & Smith (2007), https://doi.org/10.1175/WAF993.1; shrinking the gaps of bins:
DerSimonian & Laird (1986), https://doi.org/10.1016/0197-2456(86)90046-2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval, wilson

BINS = 15
WORLDS = 2000       # samples simulated of a net with a given calibration error
HALVINGS = 14       # of the span in which an end of the interval lies
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


def reliability(probabilities: Tensor, y: Tensor, *, bins: int = BINS, level: float = 0.95, fewest: int = 1) -> list[Bin]:
    """The bins that hold any case, from probabilities (n, classes) and classes (n,).

    Neighbours are joined until each holds at least `fewest` cases, from the surest down; what is left below joins the bin above it.
    """
    confidence, right, which = _binned(probabilities, y, bins)
    groups: list[list[int]] = []
    count = fewest
    for i in reversed(which.unique().tolist()):
        if count >= fewest:
            groups, count = [*groups, []], 0
        groups[-1].append(i)
        count += int((which == i).sum())
    if count < fewest and len(groups) > 1:
        last = groups.pop()
        groups[-1] += last
    filled = []
    for group in reversed(groups):
        inside = torch.isin(which, torch.tensor(group))
        n, k = int(inside.sum()), int(right[inside].sum())
        ends = min(group) / bins, (max(group) + 1) / bins
        filled.append(Bin(*ends, n, float(confidence[inside].mean()), k / n, wilson(k, n, level)))
    return filled


def ece(probabilities: Tensor, y: Tensor, *, bins: int = BINS) -> float:
    """The expected calibration error: the mean over cases of |accuracy - confidence| of the case's bin."""
    confidence, right, which = _binned(probabilities, y, bins)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, which, right - confidence)
    return float(gap.abs().sum() / len(which))


def ece_interval(probabilities: Tensor, y: Tensor, *, bins: int = BINS, level: float = 0.95, seed: int = 0) -> Interval:
    """The errors that a net could have in truth and show what this one shows, neither too much nor too little for it.

    The error of a sample exceeds the true one, most where that is small, since chance opens a gap in every bin. So samples of nets with
    each error are simulated, and those errors belong to the interval of which at least (1 - level) / 2 of samples show as much, and as
    little, as this one. Their gaps are this net's own, shrunk towards the mean gap by what is chance in them, and scaled.
    """
    confidence, right, which = _binned(probabilities, y, bins)
    n, inside = len(which), torch.bincount(which, minlength=bins) > 0    # (bins,)
    count, k, sure = (torch.zeros(bins, dtype=torch.float64).index_add_(0, which, v)[inside].numpy()
                      for v in (torch.ones_like(right), right, confidence))
    mean, share = sure / count, count / n                                # (b,), (b,) with b bins that hold a case
    shown = float(np.abs(k - sure).sum() / n)
    direction = _shrunk(count, k / count - mean, (k + mean) / (count + 1))
    room = np.where(direction < 0, mean, 1 - mean)
    counts = np.random.default_rng(seed).multinomial(n, share, WORLDS)   # (worlds, b)

    def errors(true: float) -> np.ndarray:
        gap = np.sign(direction) * _scaled(np.abs(direction), room, share, true)
        hits = np.random.default_rng(seed + 1).binomial(counts, np.clip(mean + gap, 0.0, 1.0))
        errors: np.ndarray = np.abs(hits - counts * mean).sum(1) / n                   # (worlds,)
        return errors

    tail, most = (1 - level) / 2, float((share * np.maximum(mean, 1 - mean)).sum())
    full = float((share * room).sum())                                   # the greatest error along these gaps
    low, high = 0.0, most
    if float((errors(0.0) >= shown - 1e-12).mean()) <= tail:
        low = _edge(shown, 0.0, lambda e: bool((errors(e) >= shown - 1e-12).mean() > tail))
    if float((errors(full) <= shown + 1e-12).mean()) <= tail:
        high = _edge(min(shown, full), full, lambda e: bool((errors(e) <= shown + 1e-12).mean() > tail))
    return Interval(min(low, shown), max(high, shown), level)


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


def _shrunk(count: Any, gap: Any, accuracy: Any) -> Any:
    """Gaps of bins (b,), shrunk towards their mean by as much of their scatter as is chance; none is 0."""
    variance = np.maximum(accuracy * (1 - accuracy), 1e-4) / count
    precision = 1 / variance
    total = precision.sum()
    centre = (precision * gap).sum() / total
    excess = (precision * (gap - centre) ** 2).sum() - (len(gap) - 1)
    between = max(0.0, excess / (total - (precision**2).sum() / total)) if len(gap) > 1 else 0.0
    shrunk = centre + between / (between + variance) * (gap - centre)
    return np.where(np.abs(shrunk) < 1e-9, np.where(accuracy < 0.5, 1e-9, -1e-9), shrunk)


def _scaled(size: Any, room: Any, share: Any, error: float) -> Any:
    """Sizes of gaps (b,) in one proportion, each within its `room`, such that their mean over cases is `error`."""
    full = room / size                                                   # (b,), the factor at which each gap fills its room
    factors = np.sort(full)
    errors = (share * np.minimum(factors[:, None] * size, room)).sum(1)  # (b,), rising in straight pieces
    return np.minimum(np.interp(error, np.append(0.0, errors), np.append(0.0, factors)) * size, room)


def _edge(accepted: float, refused: float, belongs: Callable[[float], bool]) -> float:
    """Where belonging ends between an error that does and one that does not."""
    for _ in range(HALVINGS):
        middle = (accepted + refused) / 2
        accepted, refused = (middle, refused) if belongs(middle) else (accepted, middle)
    return refused


def _binned(probabilities: Tensor, y: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    if probabilities.dim() != 2 or len(probabilities) != len(y) or len(y) == 0:
        raise InputError(f"Calibration needs probabilities (n, classes) and classes (n,); got {tuple(probabilities.shape)} and "
                         f"{tuple(y.shape)}. Give one row of probabilities for each case.")
    confidence, predicted = probabilities.detach().cpu().double().max(1)  # (n,), (n,)
    return confidence, (predicted == y.detach().cpu()).double(), bin_numbers(confidence, bins)
