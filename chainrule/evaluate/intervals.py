"""Intervals: exact or score intervals for counts; for everything else from the influence of each case on the number.

Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953; Clopper & Pearson (1934), https://doi.org/10.1093/biomet/26.4.404;
Hall (1992), https://doi.org/10.1111/j.2517-6161.1992.tb01876.x (the t interval without its skewness); Jaeckel (1972), The infinitesimal
jackknife (errors from influences); Satterthwaite (1946), https://doi.org/10.2307/3002019 (degrees of freedom)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.quantiles import student


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval that covers the true value in a share `level` of samples."""

    low: float
    high: float
    level: float


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of a share, from `k` successes in `n`: close to its level on average, never empty, never outside [0, 1].

    >>> ends = wilson(95, 100)
    >>> round(ends.low, 4), round(ends.high, 4)
    (0.8882, 0.9785)
    """
    _check_count(k, n, level)
    return of_effective(k / n, n, student(level, math.inf), level)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval of a share, from `k` successes in `n`: covers at least at its level, whatever the true share.

    >>> ends = clopper_pearson(0, 10)
    >>> ends.low, round(ends.high, 4)
    (0.0, 0.3085)
    """
    from scipy.special import betaincinv

    _check_count(k, n, level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return Interval(low, high, level)


def of_mean(values: Tensor, level: float = 0.95) -> Interval:
    """The interval of a mean from values (n,): Student's t, its skewness taken out by Hall's cubic transformation.

    Of one value, and of equal ones, it has no width.
    """
    n, values = len(values), values.double()
    if n < 1:
        raise InputError("An interval of a mean needs at least one value; got none. Give more test cases.")
    mean, t = float(values.mean()), student(level, n - 1)
    around = values - mean
    second = float(around.square().mean())
    if n == 1 or second == 0:
        return Interval(mean, mean, level)
    error, skewness = math.sqrt(second / (n - 1)), float(around.pow(3).mean()) / second**1.5
    low, high = (mean - error * _unskewed(x, skewness / math.sqrt(n)) for x in (t, -t))
    return Interval(low, high, level)


def of_area(value: float, influence: Tensor, fewest: float, level: float = 0.95) -> Interval:
    """The interval of a number in [0, 1] from each case's influence on it (n,), by Student's t of its logit.

    Where no case has any influence, as at 0 and 1, it is Wilson's of `fewest` cases.
    """
    n = len(influence)
    error = float(influence.double().square().mean().sqrt()) / math.sqrt(max(n - 1, 1))
    if error < 1e-9 or not 0 < value < 1:
        return of_effective(value, fewest, student(level, math.inf), level)
    half, logit = student(level, n - 1) * error / (value * (1 - value)), math.log(value / (1 - value))
    low, high = (0.5 * (1 + math.tanh(x / 2)) for x in (logit - half, logit + half))
    return Interval(low, high, level)


def of_log(value: float, influence: Tensor, level: float = 0.95) -> Interval:
    """The interval of a positive number from each case's influence on its logarithm (n,), by Student's t; without width at 0."""
    n = len(influence)
    error = float(influence.double().square().mean().sqrt()) / math.sqrt(max(n - 1, 1))
    half = student(level, n - 1) * error if n > 1 else 0.0
    return Interval(value * math.exp(-half), value * math.exp(min(half, 700.0)), level)


def of_combined(value: float, variances: Tensor, freedom: Tensor, fewest: float, level: float = 0.95) -> Interval:
    """Wilson's interval of a mean of shares, with the number of cases that would give one share the same variance.

    The mean's variance is the sum of `variances` (k,), known with so many degrees of `freedom` (k,) each (Satterthwaite). Where `value` is
    0 or 1 it counts as of `fewest` cases.
    """
    variance = float(variances.sum())
    if not 0 < value < 1 or variance == 0:
        return of_effective(value, fewest, student(level, math.inf), level)
    degrees = variance**2 / float((variances.square() / freedom.clamp(min=1)).sum())
    return of_effective(value, value * (1 - value) / variance, student(level, degrees), level)


def of_effective(value: float, n: float, z: float, level: float) -> Interval:
    """Wilson's interval of a share of `n` cases, which need not be whole, at so many standard errors `z`."""
    z2 = z * z
    centre = (n * value + z2 / 2) / (n + z2)
    half = z * math.sqrt(n * value * (1 - value) + z2 / 4) / (n + z2)
    return Interval(0.0 if value == 0 else centre - half, 1.0 if value == 1 else centre + half, level)


def influences(statistics: Callable[[Tensor], Tensor], n: int) -> tuple[Tensor, Tensor]:
    """Statistics (m,) of n cases that count once each, and the influence (m, n) of each case: n times the slope along its count.

    `statistics` gets how often each case counts, (n, 1) float64, and returns (m, 1), differentiable, such that counting every case twice
    changes nothing.
    """
    with torch.enable_grad():
        w = torch.ones(n, 1, dtype=torch.float64, requires_grad=True)
        values = statistics(w).squeeze(1)
        slopes = [torch.autograd.grad(v, w, retain_graph=True)[0].squeeze(1) for v in values]
    influence = torch.stack(slopes) * n                                      # (m, n)
    return values.detach(), influence - influence.mean(1, keepdim=True)


def _unskewed(x: float, a: float) -> float:
    """Where Hall's transformation t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 takes the value x; `a` is the skewness over root n."""
    return x if abs(a) < 1e-9 else 3 / a * (math.copysign(abs(1 + a * (x - a / 6)) ** (1 / 3), 1 + a * (x - a / 6)) - 1)


def _check_count(k: int, n: int, level: float) -> None:
    if n < 1 or not 0 <= k <= n:
        raise InputError(f"An interval of a share needs 0 <= k <= n and n >= 1; got k = {k}, n = {n}. Count the cases again.")
    if not 0 < level < 1:
        raise InputError(f"An interval's level lies between 0 and 1; got {level}. Write 0.95 for 95 %.")
