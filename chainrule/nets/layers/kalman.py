"""Inference in a linear dynamical system: Kalman's filter and the smoother of Rauch, Tung and Striebel, over sequences side by side.

Kalman (1960), https://doi.org/10.1115/1.3662552; Rauch, Tung & Striebel (1965), https://doi.org/10.2514/3.3166; the covariance of
neighbours by Shumway & Stoffer (1982), https://doi.org/10.1111/j.1467-9892.1982.tb00349.x
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.abilities.densities import Smoothing


class System(NamedTuple):
    """z_1 ~ N(mean, covariance); z_t = A z_{t-1} + N(0, Q); x_t = C z_t + offset + N(0, R).

    `mean` (s,), `covariance` (s, s), `transition` A (s, s), `process` Q (s, s), `emission` C (d, s), `offset` (d,), `noise` R (d, d).
    """

    mean: Tensor
    covariance: Tensor
    transition: Tensor
    process: Tensor
    emission: Tensor
    offset: Tensor
    noise: Tensor


class Filtered(NamedTuple):
    """Log likelihoods (n,), and for each step means (n, s) and covariances (n, s, s): foretold, and given the steps up to it."""

    log_likelihood: Tensor
    foretold: list[tuple[Tensor, Tensor]]
    known: list[tuple[Tensor, Tensor]]


def kalman_filter(system: System, x: Tensor, observed: Tensor) -> Filtered:
    """The filter over sequences (n, t, d), of which the numbers `observed` (n, t, d) are there.

    A number that is not has no part in its step: its row of C is zero, and its noise one that nothing else knows of.
    """
    n, width, size = len(x), x.shape[2], len(system.mean)
    mean, covariance = system.mean.expand(n, size), system.covariance.expand(n, size, size)
    one, states = torch.eye(width, dtype=x.dtype, device=x.device), torch.eye(size, dtype=x.dtype, device=x.device)
    foretold, known, likelihoods = [], [], []
    for step, seen in zip(x.unbind(1), observed.unbind(1), strict=True):
        there = seen.to(x.dtype)                                                          # (n, d)
        reads = there[:, :, None] * system.emission                                       # (n, d, s)
        noise = there[:, :, None] * there[:, None] * system.noise + one * (1 - there)[:, :, None]
        off = there * (torch.where(seen, step, 0.0) - system.offset) - (reads @ mean[:, :, None]).squeeze(2)
        foretold.append((mean, covariance))
        spread = reads @ covariance @ reads.mT + noise                                    # (n, d, d)
        factor = torch.linalg.cholesky(spread)
        gain = torch.cholesky_solve(reads @ covariance, factor).mT                        # (n, s, d)
        standard = torch.linalg.solve_triangular(factor, off[:, :, None], upper=False).squeeze(2)
        size_of = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        likelihoods.append(-0.5 * standard.square().sum(1) - size_of - 0.5 * math.log(2 * math.pi) * there.sum(1))
        mean = mean + (gain @ off[:, :, None]).squeeze(2)
        left = states - gain @ reads                                                      # Joseph's form keeps it symmetric and positive
        covariance = left @ covariance @ left.mT + gain @ noise @ gain.mT
        known.append((mean, covariance))
        mean = mean @ system.transition.T
        covariance = system.transition @ covariance @ system.transition.T + system.process
    return Filtered(torch.stack(likelihoods).sum(0), foretold, known)


def smoother(system: System, x: Tensor, observed: Tensor) -> Smoothing:
    """The states given whole sequences (n, t, d), backward from the last."""
    passes = kalman_filter(system, x, observed)
    mean, covariance = passes.known[-1]
    means, covariances, neighbours = [mean], [covariance], []
    for (ahead, wide), (here, own) in zip(reversed(passes.foretold[1:]), reversed(passes.known[:-1]), strict=True):
        gain = torch.linalg.solve(wide, system.transition @ own).mT                       # (n, s, s)
        neighbours.append(covariance @ gain.mT)
        mean = here + (gain @ (mean - ahead)[:, :, None]).squeeze(2)
        covariance = own + gain @ (covariance - wide) @ gain.mT
        means.append(mean)
        covariances.append(covariance)
    return Smoothing(passes.log_likelihood, torch.stack(means[::-1], 1), torch.stack(covariances[::-1], 1),
                     torch.stack(neighbours[::-1], 1) if neighbours else x.new_zeros(len(x), 0, *system.process.shape))
