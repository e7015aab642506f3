"""What hidden states give off: symbols, Gaussian numbers, or mixtures of Gaussians. Rabiner (1989), https://doi.org/10.1109/5.18626

Each tells which rows were observed, how likely every state makes them, ones where nothing was observed, and draws them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.kernels import plain
from chainrule.core.symbols import known
from chainrule.nets.layers.forward_backward import Relative, relative
from chainrule.nets.layers.gaussian import drawn, log_density, unit_scales


class Symbols(nn.Module):
    """Symbols, each state with shares of its own: rows (n, symbols) one-hot, a row of zeros where none was seen."""

    def __init__(self, states: int, symbols: int):
        super().__init__()
        self.log_shares = nn.Parameter(torch.randn(states, symbols).mul_(0.1).log_softmax(1))

    def observed(self, x: Tensor) -> Tensor:
        return known(x)

    def logs(self, x: Tensor) -> Tensor:
        """The log likelihoods (t, n, states) that the states give rows (t, n, symbols)."""
        return _certain(x) @ self.log_shares.log_softmax(1).T

    def forward(self, x: Tensor) -> Relative:
        """The same likelihoods, relative to the greatest."""
        logs, seen = self.log_shares.log_softmax(1), known(x)
        greatest = logs.amax(0)                                                           # (symbols,)
        likelihoods = x @ (logs - greatest).exp().T                                       # (t, n, states)
        if plain(x) and bool(seen.all()):
            return Relative(likelihoods, x @ greatest)
        return Relative(torch.where(seen[..., None], likelihoods, 1.0), torch.where(seen, x @ greatest, 0.0))

    def draw(self, states: Tensor) -> Tensor:
        codes = self.log_shares.softmax(1)[states].multinomial(1).squeeze(1)              # (n,)
        return nn.functional.one_hot(codes, self.log_shares.shape[1]).to(self.log_shares.dtype)


def _certain(x: Tensor) -> Tensor:
    """Symbols (..., symbols) with rows of zeros for unknown ones: they say nothing of the state."""
    return torch.where(known(x)[..., None], x, 0.0)


class Gaussians(nn.Module):
    """Numbers, of each state a weighted sum of Gaussians: rows (n, d), one with a NaN where nothing was seen.

    `scale` has the lower Cholesky factor (states, components, d, d) of each covariance, or deviations (states, components, d).
    """

    def __init__(self, states: int, features: int, components: int, covariance: str):
        super().__init__()
        self.log_weights = nn.Parameter(torch.full((states, components), -math.log(components)))
        self.means = nn.Parameter(torch.randn(states, components, features))
        self.scale = nn.Parameter(unit_scales(states * components, features, covariance).unflatten(0, (states, components)))

    def observed(self, x: Tensor) -> Tensor:
        seen: Tensor = ~x.isnan().any(-1)
        return seen

    def components(self, x: Tensor) -> Tensor:
        """The log of each component's weight times its density, (n, states, components)."""
        each = [log_density(x, mean, scale) for mean, scale in zip(self.means.flatten(0, 1), self.scale.flatten(0, 1), strict=True)]
        joint: Tensor = torch.stack(each, 1).unflatten(1, self.log_weights.shape) + self.log_weights.log_softmax(1)
        return joint

    def logs(self, x: Tensor) -> Tensor:
        """The log likelihoods (t, n, states) that the states give rows (t, n, d)."""
        seen = self.observed(x)[..., None]                                                # (t, n, 1)
        joint = self.components(torch.where(seen, x, 0.0).flatten(0, 1))
        logs = joint.squeeze(2) if joint.shape[2] == 1 else joint.logsumexp(2)
        observed: Tensor = torch.where(seen, logs.unflatten(0, x.shape[:2]), 0.0)
        return observed

    def forward(self, x: Tensor) -> Relative:
        """The same likelihoods, relative to the greatest."""
        return relative(self.logs(x))

    def draw(self, states: Tensor) -> Tensor:
        among = self.log_weights.softmax(1)[states].multinomial(1).squeeze(1)             # (n,)
        return drawn(self.means.flatten(0, 1), self.scale.flatten(0, 1), states * self.log_weights.shape[1] + among)
