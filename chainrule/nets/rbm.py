"""Restricted Boltzmann machines: two layers of units and an energy over their joint states.

Smolensky (1986), "Information processing in dynamical systems", in Parallel Distributed Processing, vol. 1, ch. 6;
Hinton (2002), https://doi.org/10.1162/089976602760128018; Gaussian units as in Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets

ENUMERABLE = 20  # units of one layer: 2^20 states take seconds
CHUNK = 2**14    # states held at once while enumerating


@nets("rbm", source="Smolensky (1986); Hinton (2002), https://doi.org/10.1162/089976602760128018", rule="divergence", kind="energy")
class RBM(nn.Module):
    """A restricted Boltzmann machine: (n, ...) -> probabilities of the hidden units (n, hidden).

    The energy is -h W v - c h - b v for binary visible units, and |v - b|^2 / 2 - h W v - c h for Gaussian ones, which
    have unit variance. Inputs of several axes are flattened.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 500, units: Literal["binary", "gaussian"] = "binary"):
        super().__init__()
        if hidden < 1:
            raise InputError(f"rbm needs at least one hidden unit; got hidden={hidden}. Write rbm:hidden=500.")
        self.units = units
        self.weight = nn.Parameter(torch.randn(hidden, math.prod(inputs)).mul_(0.01))  # Hinton (2010), "A practical guide", section 8
        self.visible_bias = nn.Parameter(torch.zeros(math.prod(inputs)))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """The probabilities of the hidden units, (n, ...) -> (n, hidden)."""
        return self.hidden(x.flatten(1))

    def hidden(self, v: Tensor) -> Tensor:
        """The probability of each hidden unit given the visible ones: (n, visible) -> (n, hidden)."""
        return torch.sigmoid(F.linear(v, self.weight, self.hidden_bias))

    def visible(self, h: Tensor) -> Tensor:
        """The mean of each visible unit given the hidden ones: (n, hidden) -> (n, visible)."""
        mean = F.linear(h, self.weight.T, self.visible_bias)
        return torch.sigmoid(mean) if self.units == "binary" else mean

    def draw_hidden(self, p: Tensor) -> Tensor:
        """Hidden states drawn with probabilities `p`: (n, hidden) -> (n, hidden)."""
        return _bernoulli(p)

    def draw_visible(self, mean: Tensor) -> Tensor:
        """Visible states drawn about their `mean`: (n, visible) -> (n, visible)."""
        return _bernoulli(mean) if self.units == "binary" else mean + torch.randn_like(mean)

    def gibbs(self, v: Tensor) -> Tensor:
        """Visible states after one round of drawing the hidden units, then the visible ones: (n, visible) -> (n, visible)."""
        return self.draw_visible(self.visible(self.draw_hidden(self.hidden(v))))

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """(n, visible), (n, hidden) -> (n,)"""
        return self._alone(v) - F.linear(v, self.weight, self.hidden_bias).mul(h).sum(-1)

    def free_energy(self, v: Tensor) -> Tensor:
        """Minus the log of the summed exp(-energy) over all hidden states: (n, visible) -> (n,)."""
        return self._alone(v) - F.softplus(F.linear(v, self.weight, self.hidden_bias)).sum(-1)

    def log_prob(self, v: Tensor) -> Tensor:
        """The exact log likelihood (n,) of visible states (n, visible); for machines small enough to enumerate."""
        return -self.free_energy(v) - self.log_partition()

    def log_partition(self) -> Tensor:
        """The log of the partition function, a scalar, by enumerating the smaller layer (the hidden one for Gaussian units).

        Raises InputError where that layer has more than 20 units.
        """
        hidden, visible = self.weight.shape
        over_visible = self.units == "binary" and visible <= hidden
        size = visible if over_visible else hidden
        if size > ENUMERABLE:
            raise InputError(f"The exact partition function enumerates a layer of at most {ENUMERABLE} units; this rbm has "
                             f"{visible} visible and {hidden} hidden units. Use a smaller machine, or compare free energies instead.")
        parts = []
        for start in range(0, 2**size, CHUNK):
            states = _bits(start, min(start + CHUNK, 2**size), size).to(self.weight)  # (chunk, size)
            mass = -self.free_energy(states) if over_visible else self._mass(states)  # (chunk,)
            parts.append(mass.logsumexp(0))
        return torch.stack(parts).logsumexp(0)

    @torch.no_grad()
    def sample(self, n: int, *, steps: int = 1000) -> Tensor:
        """`n` visible states (n, visible), each from its own Gibbs chain of so many steps."""
        v = self.visible(self.hidden_bias.new_zeros(n, len(self.hidden_bias)))  # (n, visible)
        for _ in range(steps):
            v = self.gibbs(v)
        return v

    def _alone(self, v: Tensor) -> Tensor:
        """The part of the energy (n,) that the visible units have by themselves."""
        return -(v @ self.visible_bias) if self.units == "binary" else 0.5 * (v - self.visible_bias).square().sum(-1)

    def _mass(self, h: Tensor) -> Tensor:
        """The log of exp(-energy) summed, or integrated, over all visible states: (n, hidden) -> (n,)."""
        push = h @ self.weight  # (n, visible)
        if self.units == "binary":
            over = F.softplus(push + self.visible_bias).sum(-1)
        else:
            over = push @ self.visible_bias + 0.5 * push.square().sum(-1) + 0.5 * push.shape[-1] * math.log(2 * math.pi)
        return h @ self.hidden_bias + over

    def extra_repr(self) -> str:
        return f"visible={self.weight.shape[1]}, hidden={self.weight.shape[0]}, units={self.units}"


def _bernoulli(p: Tensor) -> Tensor:
    """Zeros and ones drawn with probabilities `p`, from the global generator."""
    return (torch.rand_like(p) < p).to(p.dtype)


def _bits(start: int, end: int, size: int) -> Tensor:
    """The numbers start..end-1 as rows of `size` binary digits: (end - start, size)."""
    return (torch.arange(start, end)[:, None] >> torch.arange(size)) & 1
