"""Expectation-maximisation: share every sample among the components, then fit each component to its share.

Dempster, Laird & Rubin (1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x; seeds as in k-means++, Arthur & Vassilvitskii (2007),
https://dl.acm.org/doi/10.5555/1283383.1283494
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree
from chainrule.rules.one_layer import refuse_frozen

ROWS_PER_SEED = 100  # seeds are sought among this many random rows for each


@rule("expectation", source="Dempster, Laird & Rubin (1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x",
      reads="everything", target="none", nets=("mixture",), epochs=100)
class Expectation:
    """One iteration of expectation-maximisation over all samples.

    The loss is minus the mean log likelihood before the iteration. `floor` is added to every variance; a covariance that is
    singular all the same turns into NaN. `start` says whether the first iteration seeds the components from the data or
    goes on from those given.
    """

    def __init__(self, *, floor: float = 1e-6, start: Literal["data", "given"] = "data"):
        if floor < 0:
            raise InputError(f"expectation needs a floor of variance of at least 0; got {floor}. Write expectation:floor=1e-6.")
        self.floor, self.start = floor, start

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "expectation")
        if set(net.params) != {"log_weights", "means", "scale"}:
            raise InputError(f"expectation trains a mixture of Gaussians; got {type(net.module).__name__}. "
                             "Use --net mixture, or another --rule.")
        return {"seeded": torch.zeros((), dtype=torch.bool, device=net.device)}

    @torch.no_grad()
    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        x = batch.x.flatten(1)                                                # (n, features)
        components, full = len(net.params["means"]), net.params["scale"].dim() == 3
        if len(x) < components:
            raise InputError(f"A mixture of {components} components needs at least as many samples; got {len(x)}. "
                             f"Write mixture:components={len(x)} or fewer.")
        if self.start == "data":
            for name, seed in seeds(x, components, self.floor, full).items():
                net.params[name].copy_(torch.where(state["seeded"], net.params[name], seed))
            state["seeded"].fill_(True)
        joint = net(x)                                                        # (n, components)
        share = joint.softmax(1)                                              # (n, components)
        share = batch.weighted(share)
        for name, fitted in maximise(x, share, self.floor, full).items():
            net.params[name].copy_(fitted)
        return net, state, {"loss": -batch.mean(joint.logsumexp(1))}


def maximise(x: Tensor, share: Tensor, floor: float, full: bool) -> dict[str, Tensor]:
    """The parameters that are likeliest when sample i belongs to component k by `share[i, k]`: (n, features), (n, components)."""
    mass = share.sum(0) + 10 * torch.finfo(x.dtype).eps                       # (components,)
    means = share.T @ x / mass[:, None]                                       # (components, features)
    spread = torch.stack([_moment(x - mean, of, full) for mean, of in zip(means, (share / mass).T, strict=True)])
    if full:
        covariance = spread + floor * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        factor, failed = torch.linalg.cholesky_ex(covariance)                 # (components, features, features), (components,)
        scale = factor.masked_fill((failed > 0)[:, None, None], float("nan"))
    else:
        scale = (spread + floor).sqrt()
    return {"log_weights": (mass / mass.sum()).log(), "means": means, "scale": scale}


def _moment(away: Tensor, share: Tensor, full: bool) -> Tensor:
    """The shared mean of the outer product, or of the square, of rows (n, features)."""
    return (away * share[:, None]).T @ away if full else share @ away.square()


def seeds(x: Tensor, components: int, floor: float, full: bool) -> dict[str, Tensor]:
    """Components at rows far from one another, measured in standard deviations, each as wide as the rows near a seed."""
    rows = min(len(x), ROWS_PER_SEED * components)
    some = x[torch.rand(len(x), device=x.device).topk(rows).indices]          # (rows, features), in random order
    variance = some.var(0, correction=0)                                      # (features,)
    standard = (some - some.mean(0)) / (variance + torch.finfo(x.dtype).tiny).sqrt()
    means, distance = [some[0]], (standard - standard[0]).square().sum(1)     # (rows,)
    for _ in range(1, components):
        row = (distance / -torch.rand_like(distance).log()).argmax(0, keepdim=True)  # an exponential race: drawn with odds `distance`
        means.append(some.index_select(0, row)[0])
        distance = torch.minimum(distance, (standard - standard.index_select(0, row)).square().sum(1))
    width = (variance * distance.mean() / x.shape[1] + floor).sqrt().expand(components, -1)
    return {
        "log_weights": torch.full((components,), -math.log(components), dtype=x.dtype, device=x.device),
        "means": torch.stack(means),
        "scale": width.diag_embed() if full else width,
    }
