"""The density of one Gaussian, by the Cholesky factor of its covariance or by standard deviations."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_density(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """The log density (n,) of rows (n, d) under a mean (d,) and the lower Cholesky factor (d, d) of a covariance, or deviations (d,)."""
    if scale.dim() == 1:
        standard, size = (x - mean) / scale, scale                            # (n, d), (d,)
    else:
        standard = torch.linalg.solve_triangular(scale.tril(), (x - mean).T, upper=False).T
        size = scale.diagonal()
    return -0.5 * standard.square().sum(1) - size.abs().log().sum() - 0.5 * x.shape[1] * math.log(2 * math.pi)


def unit_scales(count: int, features: int, covariance: str) -> Tensor:
    """Unit scales of so many Gaussians: deviations (count, features) where the covariance is diagonal, else factors."""
    one = torch.ones(features) if covariance == "diagonal" else torch.eye(features)
    return one.repeat(count, *[1] * one.dim())


def drawn(means: Tensor, scales: Tensor, which: Tensor) -> Tensor:
    """A draw (n, d) from the Gaussian that `which` (n,) numbers for each row."""
    draws = torch.randn(len(which), means.shape[1], dtype=means.dtype, device=means.device)
    for k, (mean, scale) in enumerate(zip(means, scales, strict=True)):
        rows = which == k
        draws[rows] = mean + (draws[rows] * scale if scale.dim() == 1 else draws[rows] @ scale.tril().T)
    return draws
