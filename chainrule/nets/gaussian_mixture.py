"""Mixtures of Gaussians: a density as a weighted sum of bells.

Pearson (1894), https://doi.org/10.1098/rsta.1894.0003
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.gaussian import drawn, log_density, unit_scales


@nets("mixture", source="Pearson (1894), https://doi.org/10.1098/rsta.1894.0003", rule="expectation", kind="generative",
      tasks=("density", "generation"))
class Mixture(nn.Module):
    """A mixture of Gaussians: (n, ...) -> the log of each component's weight times its density (n, components).

    `scale` is the lower Cholesky factor (components, features, features) of each covariance, or the standard deviations
    (components, features) where the covariance is diagonal. Inputs of several axes are flattened.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, components: int = 3, covariance: Literal["full", "diagonal"] = "full"):
        super().__init__()
        if components < 1:
            raise InputError(f"mixture needs at least one component; got components={components}. Write mixture:components=3.")
        features = math.prod(inputs)
        self.inputs, self.covariance = inputs, covariance
        self.log_weights = nn.Parameter(torch.full((components,), -math.log(components)))
        self.means = nn.Parameter(torch.randn(components, features))
        self.scale = nn.Parameter(unit_scales(components, features, covariance))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        each = [log_density(x, mean, scale) for mean, scale in zip(self.means, self.scale, strict=True)]
        return self.log_weights.log_softmax(0) + torch.stack(each, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log density of the mixture: (n, ...) -> (n,)."""
        likelihood: Tensor = self(x).logsumexp(1)
        return likelihood

    def encode(self, x: Tensor) -> Tensor:
        """The responsibilities: the probability of each component given the sample, (n, ...) -> (n, components)."""
        shares: Tensor = self(x).softmax(1)
        return shares

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` draws, shaped like the inputs."""
        which = self.log_weights.softmax(0).multinomial(n, replacement=True)  # (n,)
        return drawn(self.means, self.scale, which).reshape(n, *self.inputs)

    def extra_repr(self) -> str:
        return f"features={self.means.shape[1]}, components={len(self.means)}, covariance={self.covariance}"
