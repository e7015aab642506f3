"""Quantiles of the normal distribution and of Student's t, and tails of the binomial one, which every measured number and every comparison
needs: importing scipy for them takes a tenth of the time to a first training step.

The incomplete beta function by its continued fraction: Abramowitz & Stegun (1964), Handbook of Mathematical Functions, 26.5.8, evaluated
from the front (Lentz, 1976, https://doi.org/10.1364/AO.15.000668); Student's tail from it: 26.7.1; his quantile for many degrees: 26.7.5;
the binomial tail: 26.5.24.
"""

from __future__ import annotations

import functools
import math

import torch

from chainrule.core.errors import InputError

TINY, EXACT = 1e-300, 1e-16
MANY = 1e4  # degrees of freedom: above, what is left out of the series is below the last digit, and the fraction loses digits


@functools.cache
def student(level: float, freedom: float) -> float:
    """How many standard errors reach to both sides of a mean to cover it at `level`; of infinite `freedom` by the normal distribution.

    >>> round(student(0.95, 10), 3), round(student(0.95, float("inf")), 3)
    (2.228, 1.96)
    """
    if not 0 < level < 1:
        raise InputError(f"An interval's level lies between 0 and 1; got {level}. Write 0.95 for 95 %.")
    tail = (1 - level) / 2
    t = -float(torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)))
    if math.isinf(freedom):
        return t
    if freedom > MANY:
        return t + (t**3 + t) / (4 * freedom) + (5 * t**5 + 16 * t**3 + 3 * t) / (96 * freedom**2)
    freedom = max(freedom, 1.0)
    log_peak = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    for _ in range(200):  # Newton from below: the tail is convex and heavier than the normal one, so no step goes too far
        density = math.exp(log_peak - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (beyond(t, freedom) - tail) / density
        t += step
        if abs(step) <= 1e-15 * t:
            break
    return t


def beyond(t: float, freedom: float) -> float:
    """The share of Student's distribution above t >= 0."""
    a, b, x = freedom / 2, 0.5, freedom / (freedom + t * t)
    if x < (a + 1) / (a + b + 2):
        return _beta(a, b, x) / 2
    return (1 - _beta(b, a, t * t / (freedom + t * t))) / 2


def at_most_heads(heads: int, throws: int) -> float:
    """How likely a fair coin shows at most so many heads, at most half of the throws.

    >>> at_most_heads(1, 3)
    0.5
    """
    return _beta(throws - heads, heads + 1, 0.5)


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for x below (a + 1) / (a + b + 2), where its fraction converges quickly."""
    if x == 0:
        return 0.0
    fraction = d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    c = 1.0
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = fraction
        for numerator in (even, odd):
            d, c = 1 / _not_zero(1 + numerator * d), _not_zero(1 + numerator / c)
            fraction *= d * c
        if abs(fraction - before) <= EXACT * abs(fraction):
            break
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * fraction / a


def _not_zero(x: float) -> float:
    return x if abs(x) > TINY else TINY
