"""How far to go along a direction: the strong Wolfe conditions, by bracketing and cubic interpolation.

Nocedal & Wright (2006), Numerical Optimization, algorithms 3.5 and 3.6, https://doi.org/10.1007/978-0-387-40065-5; near the bottom, where
differences of values drown in rounding, a value within it counts as lower: Hager & Zhang (2005), https://doi.org/10.1137/030601880
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.optim.solvers.curvature import Surface

NOISE = 4.0   # roundings by which equal values may seem to differ
GROWTH = 10.0  # the most by which one trial exceeds the last
SHRINK = 2 / 3  # a bracket that does not shrink by this in two trials is halved


class Trial(NamedTuple):
    """A length, and value, slope along the direction, and gradient (p,) there."""

    length: float
    value: float
    slope: float
    gradient: Tensor


def along(surface: Surface, direction: Tensor) -> Callable[[float], Trial]:
    """The surface on the ray from where the net stands: a function of the length."""

    def at(length: float) -> Trial:
        value, gradient = surface.slope(surface.start + length * direction)
        return Trial(length, float(value), float(gradient @ direction), gradient)

    return at


def wolfe(at: Callable[[float], Trial], start: Trial, first: float, *, c1: float, c2: float, evaluations: int) -> tuple[Trial, bool]:
    """A length where the value fell by `c1` of what the slope promised and the slope by `c2`, from at most `evaluations` trials.

    Where none is found: the best trial, the start if none is lower, and False. The start's slope must be negative.
    """
    left = evaluations
    eps = torch.finfo(start.gradient.dtype).eps
    noise = NOISE * eps * abs(start.value)

    def tried(length: float) -> Trial:
        nonlocal left
        left -= 1
        return at(length)

    def flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -c2 * start.slope

    def high(trial: Trial, low: Trial) -> bool:
        """Not lower by enough than the start, or higher than the lowest so far; what is flat and equal but for rounding is neither."""
        if not math.isfinite(trial.value) or not math.isfinite(trial.slope):
            return True
        if flat(trial) and abs(trial.value - start.value) <= noise:
            return False
        rounding = NOISE * eps * abs(low.value)
        return trial.value > start.value + c1 * trial.length * start.slope or (low.length > 0 and trial.value > low.value + rounding)

    low, up, length = start, None, first
    while left > 0 and up is None:  # algorithm 3.5: go on until something is bracketed
        now = tried(length)
        if high(now, low):
            up = now
        elif flat(now):
            return now, True
        elif now.slope >= 0:
            low, up = now, low
        else:
            length = min(max(_cubic(low, now, beyond=True), 1.01 * now.length), GROWTH * now.length)
            low = now
    wide, halve = math.inf, False
    while left > 0 and up is not None:  # algorithm 3.6: shrink the bracket, of which `low` is the better end
        gap = abs(up.length - low.length)
        if gap == 0:
            break
        halve = not halve and gap > SHRINK * wide
        wide = gap
        length = (low.length + up.length) / 2 if halve else _cubic(low, up)
        if length in (low.length, up.length):
            break
        now = tried(length)
        if high(now, low):
            up = now
        else:
            if flat(now):
                return now, True
            if now.slope * (up.length - low.length) >= 0:
                up = low
            low = now
    return low, False


def _cubic(a: Trial, b: Trial, *, beyond: bool = False) -> float:
    """Where the cubic through two trials is least; their middle where it has no minimum between them, infinity where none `beyond`."""
    fallback = math.inf if beyond else (a.length + b.length) / 2
    if not all(map(math.isfinite, (a.value, a.slope, b.value, b.slope))):
        return fallback
    gap = b.length - a.length
    one = a.slope + b.slope - 3 * (b.value - a.value) / gap
    square = one * one - a.slope * b.slope
    if square < 0:
        return fallback
    two = math.copysign(math.sqrt(square), gap)
    under = b.slope - a.slope + 2 * two
    if under == 0:
        return fallback
    length = b.length - gap * (b.slope + two - one) / under
    if beyond:
        return length if length > b.length else fallback
    return length if min(a.length, b.length) < length < max(a.length, b.length) else fallback
