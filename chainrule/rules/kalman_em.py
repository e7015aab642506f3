"""Expectation-maximisation for linear dynamical systems: smooth the states, then fit every map to them by least squares.

Shumway & Stoffer (1982), https://doi.org/10.1111/j.1467-9892.1982.tb00349.x; Ghahramani & Hinton (1996),
https://www.cs.toronto.edu/~hinton/absps/tr-96-2.html
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.abilities.densities import Smoothing
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen

NAMES = {"start.mean", "start.scale", "transition.weight", "transition.scale", "emission.weight", "emission.scale", "emission.offset"}


@rule("kalman-em", source="Shumway & Stoffer (1982), https://doi.org/10.1111/j.1467-9892.1982.tb00349.x", reads="everything", target="none",
      nets=("lds",), epochs=100)
class KalmanEM:
    """One iteration of expectation-maximisation over all sequences, those of a batch counting by their weights.

    The loss is minus the mean log likelihood a step before the iteration, in nats. `floor` is added to every variance. Numbers that were
    not observed are filled in by what is expected of them, with its variance.
    """

    def __init__(self, *, floor: float = 1e-6):
        if floor < 0:
            raise InputError(f"kalman-em needs a floor of variance of at least 0; got {floor}. Write kalman-em:floor=1e-6.")
        self.floor = floor

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "kalman-em")
        if set(net.params) != NAMES:
            raise InputError(f"kalman-em trains a linear dynamical system; got {type(net.module).__name__}. Use --net lds, or another "
                             "--rule.")
        return {}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x = batch.x if batch.mask is None else torch.where(batch.mask[..., None], batch.x, float("nan"))        # (n, t, d)
        smoothed: Smoothing = net.call("smoothed", x)
        share = batch.weighted(net.call("present", x).to(x.dtype))                                               # (n, t)
        fitted = fitted_motion(smoothed, share, self.floor) | fitted_emission(net, x, smoothed, share, self.floor)
        for name, value in fitted.items():
            net.params[name].copy_(value)
        return net, state, {"loss": -batch.weighted(smoothed.log_likelihood).sum() / share.sum().clamp(min=1)}


def fitted_motion(smoothed: Smoothing, share: Tensor, floor: float) -> dict[str, Tensor]:
    """First state and transition that are likeliest for smoothed states, steps (n, t) counting by their share."""
    means, covariances = smoothed.means, smoothed.covariances
    second = covariances + means[..., None] * means[..., None, :]                                                # E z z', (n, t, s, s)
    across = smoothed.neighbours + means[:, 1:, :, None] * means[:, :-1, None]                                   # E z_t z_{t-1}'
    first = share[:, 0] / share[:, 0].sum()
    mean = first @ means[:, 0]
    spread = torch.einsum("n,nij->ij", first, second[:, 0]) - torch.outer(mean, mean)
    later = share[:, 1:]
    before, after, both = (torch.einsum("nt,ntij->ij", later, part) for part in (second[:, :-1], second[:, 1:], across))
    weight = solved(both, before)
    process = (after - weight @ both.T) / later.sum()
    return {"start.mean": mean, "start.scale": factor(spread, floor),
            "transition.weight": weight, "transition.scale": factor(process, floor)}


def fitted_emission(net: Net, x: Tensor, smoothed: Smoothing, share: Tensor, floor: float) -> dict[str, Tensor]:
    """The emission that is likeliest for smoothed states: a regression of what was seen on them, and on one."""
    seen = ~x.isnan()                                                                                            # (n, t, d)
    weight, offset, scale = (net.params[f"emission.{name}"] for name in ("weight", "offset", "scale"))
    noise = scale.tril() @ scale.tril().T
    states = torch.cat([smoothed.means, torch.ones_like(share)[..., None]], 2)                                   # (n, t, s + 1)
    wide = torch.nn.functional.pad(smoothed.covariances, (0, 1, 0, 1))
    reads = torch.cat([weight, offset[:, None]], 1)                                                              # (d, s + 1)
    there = seen.to(x.dtype)
    # of what is missing in a step: its regression on the rest of that step's noise, K, and what of it nothing tells
    inner = there[..., None] * there[..., None, :] * noise + torch.diag_embed(1 - there)                         # (n, t, d, d)
    known = (1 - there)[..., None] * there[..., None, :] * noise
    tells = torch.linalg.solve(inner, known.mT).mT                                                               # K, (n, t, d, d)
    residual = there * (torch.where(seen, x, 0.0) - states @ reads.T)
    filled = torch.where(seen, x, 0.0) + (1 - there) * (states @ reads.T) + (tells @ residual[..., None]).squeeze(-1)
    slope = (torch.diag_embed(1 - there) - tells * there[..., None, :]) @ reads                                  # d filled / d state
    untold = (1 - there)[..., None] * (1 - there)[..., None, :] * noise - tells @ known.mT                       # (n, t, d, d)
    second = wide + states[..., None] * states[..., None, :]                                                     # E of z z', one appended
    cross = filled[..., None] * states[..., None, :] + slope @ wide                                              # E x z'
    own = filled[..., None] * filled[..., None, :] + slope @ wide @ slope.mT + untold                            # E x x'
    total, both, seconds = (torch.einsum("nt,ntij->ij", share, part) for part in (second, cross, own))
    fitted = solved(both, total)
    left = (seconds - fitted @ both.T - both @ fitted.T + fitted @ total @ fitted.T) / share.sum()
    return {"emission.weight": fitted[:, :-1], "emission.offset": fitted[:, -1], "emission.scale": factor(left, floor)}


def solved(both: Tensor, total: Tensor) -> Tensor:
    """The map W with W total = both."""
    transposed: Tensor = torch.linalg.solve(total, both.T)
    return transposed.T


def factor(covariance: Tensor, floor: float) -> Tensor:
    """The lower Cholesky factor of a covariance whose variances are raised by a floor; NaN where it is singular all the same."""
    one = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    lower, failed = torch.linalg.cholesky_ex((covariance + covariance.T) / 2 + floor * one)
    checked: Tensor = lower.masked_fill(failed > 0, float("nan"))
    return checked
