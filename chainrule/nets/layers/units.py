"""Units of an energy: their means at a total input, their draws, what they cost by themselves, and the sum over all their states.

The energy of two layers is alone(v) + alone(h) - h W v. Binary and Gaussian units: Hinton & Salakhutdinov (2006),
https://doi.org/10.1126/science.1127647; groups of which one unit is on: Salakhutdinov, Mnih & Hinton (2007),
https://doi.org/10.1145/1273496.1273596; rectified ones: Nair & Hinton (2010), https://icml.cc/Conferences/2010/papers/432.pdf
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-20   # keeps clocks of shares and draws of zero finite, and so apart
LEAST = 0.005  # of the share that a unit is on in a base: one that is never on would be impossible


class Units(Protocol):
    """What one layer of units does; the last axis is that of the units, everything else is rows.

    `finite` says that a unit has finitely many states.
    """

    finite: bool

    def mean(self, total: Tensor) -> Tensor:
        """The mean (..., d) of each unit at its total input (..., d)."""
        ...

    def draw(self, mean: Tensor) -> Tensor:
        """States (..., d) drawn about their `mean`, from the global generator."""
        ...

    def alone(self, states: Tensor, bias: Tensor) -> Tensor:
        """The part of the energy (...,) that states (..., d) have by themselves, with biases (d,)."""
        ...

    def mass(self, total: Tensor, bias: Tensor) -> Tensor:
        """The log (...,) of exp(-energy) summed, or integrated, over the states, at total inputs (..., d) that include the bias."""
        ...

    def bias_of(self, mean: Tensor) -> Tensor:
        """The biases (d,) by which units alone have these means (d,), as nearly as they can."""
        ...


class Binary:
    """Units that are 0 or 1."""

    finite = True

    def mean(self, total: Tensor) -> Tensor:
        return torch.sigmoid(total)

    def draw(self, mean: Tensor) -> Tensor:
        return (torch.rand_like(mean) < mean).to(mean.dtype)

    def alone(self, states: Tensor, bias: Tensor) -> Tensor:
        return -(states @ bias)

    def mass(self, total: Tensor, bias: Tensor) -> Tensor:
        return F.softplus(total).sum(-1)

    def bias_of(self, mean: Tensor) -> Tensor:
        return mean.clamp(LEAST, 1 - LEAST).logit()


class Gaussian:
    """Units that are numbers, of unit variance, with the energy |v - b|^2 / 2."""

    finite = False

    def mean(self, total: Tensor) -> Tensor:
        return total

    def draw(self, mean: Tensor) -> Tensor:
        return mean + torch.randn_like(mean)

    def alone(self, states: Tensor, bias: Tensor) -> Tensor:
        return 0.5 * (states - bias).square().sum(-1)

    def mass(self, total: Tensor, bias: Tensor) -> Tensor:
        return 0.5 * (total.square() - bias.square()).sum(-1) + 0.5 * total.shape[-1] * math.log(2 * math.pi)

    def bias_of(self, mean: Tensor) -> Tensor:
        return mean


class Multinomial:
    """Units in groups of these sizes, of each of which exactly one is on; a group of one is a binary unit."""

    finite = True

    def __init__(self, groups: tuple[int, ...]):
        self.groups = groups
        self.alike = [(size, len(list(several))) for size, several in itertools.groupby(groups)]  # neighbours of one size

    def mean(self, total: Tensor) -> Tensor:
        return self._each(total, lambda x: torch.sigmoid(x) if x.shape[-1] == 1 else x.softmax(-1))

    def draw(self, mean: Tensor) -> Tensor:
        return self._each(mean, _first)

    def alone(self, states: Tensor, bias: Tensor) -> Tensor:
        return -(states @ bias)

    def mass(self, total: Tensor, bias: Tensor) -> Tensor:
        return torch.stack([(F.softplus(x[..., 0]) if size == 1 else x.logsumexp(-1)).sum(-1)
                            for size, x in self._runs(total)]).sum(0)

    def bias_of(self, mean: Tensor) -> Tensor:
        return self._each(mean, lambda m: m.clamp(LEAST, 1 - LEAST).logit() if m.shape[-1] == 1 else m.clamp(min=LEAST).log())

    def _runs(self, x: Tensor) -> list[tuple[int, Tensor]]:
        """Neighbouring groups of one size together: that size, and their part of (..., d) as (..., groups, size)."""
        parts = x.split([size * count for size, count in self.alike], -1)
        return [(size, part.unflatten(-1, (count, size))) for (size, count), part in zip(self.alike, parts, strict=True)]

    def _each(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """`f` of the groups of each size, (..., groups, size), put together again as (..., d)."""
        return torch.cat([f(part).flatten(-2) for _, part in self._runs(x)], -1)


class Rectified:
    """Noisy rectified units: each stands for copies of a binary unit whose biases fall by one from copy to copy, half a step down.

    The number of copies that are on has nearly the mean log(1 + e^x) at a total input x, and is drawn as max(0, x + noise of variance
    sigmoid(x)). The sum over their states is the integral of that mean, minus a dilogarithm; it grows as x^2 / 2, so that a machine
    with Gaussian units has no partition function where its weights are large.
    """

    finite = False

    def mean(self, total: Tensor) -> Tensor:
        return F.softplus(total)

    def draw(self, mean: Tensor) -> Tensor:
        variance = -torch.expm1(-mean)                                    # sigmoid(x), since the mean is log(1 + e^x)
        return F.relu(mean + variance.log() + variance.sqrt() * torch.randn_like(mean))

    def alone(self, states: Tensor, bias: Tensor) -> Tensor:
        return 0.5 * states.square().sum(-1) - states @ bias              # the cheapest way of having so many copies on

    def mass(self, total: Tensor, bias: Tensor) -> Tensor:
        return integral_of_softplus(total).sum(-1)

    def bias_of(self, mean: Tensor) -> Tensor:
        return mean.clamp(min=LEAST).expm1().log()


def integral_of_softplus(x: Tensor) -> Tensor:
    """The integral of log(1 + e^t) up to x, minus the dilogarithm of -e^x, to fifteen digits.

    Its alternating series is summed as in Cohen, Rodriguez Villegas & Zagier (2000), https://doi.org/10.1080/10586458.2000.10504632.
    """
    z = torch.where(x > 0, -x, x).exp()
    series = torch.zeros_like(z)
    for k, coefficient in reversed(list(enumerate(ALTERNATING, 1))):
        series = (series + coefficient / k**2) * z
    return torch.where(x > 0, math.pi**2 / 6 + 0.5 * x.square() - series, series)


def _coefficients(terms: int) -> list[float]:
    """The weights of the first terms of an alternating series, signs included, in its accelerated sum."""
    d = (3 + math.sqrt(8)) ** terms
    d = (d + 1 / d) / 2
    b, c, weights = -1.0, -d, []
    for k in range(terms):
        c = b - c
        weights.append(c / d)
        b *= (k + terms) * (k - terms) / ((k + 0.5) * (k + 1))
    return weights


ALTERNATING = _coefficients(20)


def one_of(shares: Tensor) -> Tensor:
    """Rows drawn by their shares, with one number on: (..., k) -> (..., k). Of exponential clocks that run as fast as the shares are large
    the first one."""
    clock = -torch.rand_like(shares).clamp(min=TINY).log() / shares.clamp(min=TINY)
    return (clock == clock.amin(-1, keepdim=True)).to(shares.dtype)


def _first(mean: Tensor) -> Tensor:
    """One unit of each group (..., groups, size) on, with probabilities `mean`; a group of one is on with its own."""
    return Binary().draw(mean) if mean.shape[-1] == 1 else one_of(mean)
