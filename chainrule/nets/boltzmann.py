"""Boltzmann machines: binary units, visible and hidden, each of which acts on every other.

Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7; in place of draws the mean field of Peterson & Anderson
(1987), "A mean field theory learning algorithm for neural networks", Complex Systems 1, 995-1019
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.densities import Estimate
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.core.traits import Range
from chainrule.nets.layers.annealing import estimated, inverse_temperatures
from chainrule.nets.layers.restricted import CHUNK, ENUMERABLE, bits
from chainrule.nets.layers.units import Binary

SUMMED = 12  # hidden units whose states are summed over for each row
ROUNDS = 30  # of the mean field
DAMPING = 0.5


def _unit(options: Mapping[str, Any]) -> Range:
    return "unit"


@nets("boltzmann", source="Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7", rule="boltzmann-learning",
      kind="energy", tasks=("density", "generation"), range=_unit)
class Boltzmann(nn.Module):
    """A Boltzmann machine: (n, ...) -> the means of the hidden units in the mean field of the inputs, (n, hidden).

    The energy of states s of all units, the visible ones first, is -s W s / 2 - b s, with W symmetric and zero on its diagonal; `weight`
    has it above the diagonal. Inputs of several axes are flattened. Raises InputError for a negative number of hidden units.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 10):
        super().__init__()
        if hidden < 0:
            raise InputError(f"boltzmann has hidden units or none; got hidden={hidden}. Write boltzmann:hidden=10.")
        self.size, units = math.prod(inputs), math.prod(inputs) + hidden
        self.weight = nn.Parameter(torch.randn(units, units).mul_(0.01).triu(1))
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """The means of the hidden units, (n, ...) -> (n, hidden)."""
        return self.settled(self.begun(x.flatten(1)), self.size)[:, self.size :]

    def couplings(self) -> Tensor:
        """The symmetric weights (units, units)."""
        upper = self.weight.triu(1)
        return upper + upper.T

    def total(self, s: Tensor) -> Tensor:
        """What reaches each unit from all others: (n, units) -> (n, units)."""
        return torch.addmm(self.bias, s, self.couplings())

    def begun(self, v: Tensor) -> Tensor:
        """Visible states (n, visible) with hidden units half on: (n, units)."""
        return F.pad(v, (0, len(self.bias) - self.size), value=0.5)

    def settled(self, s: Tensor, first: int, rounds: int = ROUNDS) -> Tensor:
        """Means (n, units) after so many rounds of the mean field, in which those from the `first` on move half of the way they should."""
        fixed, means, weight = s[:, :first], s[:, first:], self.couplings()[:, first:]
        for _ in range(rounds):
            target = torch.sigmoid(torch.cat([fixed, means], 1) @ weight + self.bias[first:])
            means = torch.lerp(means, target, DAMPING)
        return torch.cat([fixed, means], 1)

    def swept(self, s: Tensor, first: int) -> Tensor:
        """States (n, units) after each unit from the `first` on was drawn given all others, one after the other."""
        return self._swept(s, first, self.couplings(), self.bias)

    def gibbs(self, v: Tensor) -> Tensor:
        """States (n, units) of all units after each was drawn given all others, one after the other."""
        return self.swept(v, 0)

    @staticmethod
    def _swept(s: Tensor, first: int, weight: Tensor, bias: Tensor) -> Tensor:
        total, drawn = torch.addmm(bias, s, weight), torch.rand_like(s)                          # (n, units)
        columns = list(s.unbind(1))
        for i in range(first, len(columns)):
            on = (drawn[:, i] < torch.sigmoid(total[:, i])).to(s.dtype)
            total = total + (on - columns[i])[:, None] * weight[i]
            columns[i] = on
        return torch.stack(columns, 1)

    def energy(self, s: Tensor) -> Tensor:
        """(n, units) -> (n,)"""
        return -0.5 * (s @ self.couplings()).mul(s).sum(1) - s @ self.bias

    def free_energy(self, v: Tensor) -> Tensor:
        """Minus the log of the summed exp(-energy) over all hidden states: (n, visible) -> (n,).

        With more than 12 hidden units it is that of the mean field, which is never smaller.
        """
        hidden = len(self.bias) - self.size
        if hidden > SUMMED:
            means = self.settled(self.begun(v), self.size)
            m = means[:, self.size :]
            negentropy: Tensor = (torch.special.xlogy(m, m) + torch.special.xlogy(1 - m, 1 - m)).sum(1)
            return self.energy(means) + negentropy
        states = bits(0, 2**hidden, hidden).to(self.weight)                                     # (2^hidden, hidden)
        within = self.energy(F.pad(states, (self.size, 0)))                                     # (2^hidden,)
        push = v @ self.couplings()[: self.size, self.size :]                                   # (n, hidden)
        return self.energy(F.pad(v, (0, hidden))) - (push @ states.T - within).logsumexp(1)

    def log_prob(self, v: Tensor) -> Tensor:
        """The exact log likelihood (n,) of visible states (n, visible); for machines small enough to enumerate."""
        return -self.free_energy(v) - self.log_partition()

    def pseudo_likelihood(self, v: Tensor) -> Tensor:
        """How likely (n,) each row's units are, each given all other visible ones, summed over the units, in nats.

        Of one unit a row, the first of the first row, the second of the second and so on, times their number.
        """
        at = (torch.arange(len(v), device=v.device) % self.size)[:, None]
        flipped = v.scatter(1, at, 1 - v.gather(1, at))
        return -self.size * F.softplus(self.free_energy(v) - self.free_energy(flipped))

    @property
    def partition(self) -> Literal["exact", "annealed", "none"]:
        """How the partition function is to be had."""
        return "exact" if len(self.bias) <= ENUMERABLE else "annealed"

    @property
    def finite(self) -> bool:
        return True

    @property
    def binary(self) -> bool:
        return True

    @property
    def caveat(self) -> str:
        """What is to be said of likelihoods, in a sentence."""
        return ("The states of the hidden units are summed over in the mean field, so that likelihoods are at least what is given here."
                if len(self.bias) - self.size > SUMMED else "")

    def log_partition(self) -> Tensor:
        """The log of the partition function, a scalar, over the states of all units. Raises InputError for more than 20 of them."""
        units = len(self.bias)
        if units > ENUMERABLE:
            raise InputError(f"The exact partition function enumerates at most {ENUMERABLE} units; this machine has {units}. Use a smaller "
                             "one, or chainrule test, which estimates it.")
        chunks = [bits(start, min(start + CHUNK, 2**units), units).to(self.weight) for start in range(0, 2**units, CHUNK)]
        return torch.stack([-self.energy(states) for states in chunks]).flatten().logsumexp(0)

    def base(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Biases (d,) of visible units by themselves that have these means (d,), and the log of the partition function of such units."""
        bias = Binary().bias_of(mean.to(self.weight))
        return bias, F.softplus(bias).sum()

    @torch.no_grad()
    def estimate_log_partition(self, mean: Tensor, *, temperatures: int = 1000, chains: int = 100) -> Estimate:
        """The log of the partition function by annealed importance sampling, from units by themselves that have these means (d,)."""
        visible, log_z = self.base(mean)
        hidden, weight = len(self.bias) - self.size, self.couplings()
        bias = F.pad(visible, (0, hidden))
        s = (torch.rand(chains, len(bias)).to(bias) < torch.sigmoid(bias)).to(bias.dtype)       # (chains, units)
        weights = (log_z + hidden * math.log(2)).double().repeat(chains)
        for low, high in itertools.pairwise(inverse_temperatures(temperatures)):
            weights += (high - low) * (-self.energy(s) - s @ bias).double()
            s = self._swept(s, 0, high * weight, torch.lerp(bias, self.bias, high))
        return estimated(weights)

    @torch.no_grad()
    def sample(self, count: int, *, steps: int = 1000) -> Tensor:
        """`count` visible states (count, visible), each from its own chain of so many sweeps over all units."""
        s = (torch.rand(count, len(self.bias)).to(self.bias) < torch.sigmoid(self.bias)).to(self.bias.dtype)
        for _ in range(steps):
            s = self.gibbs(s)
        return s[:, : self.size]

    def extra_repr(self) -> str:
        return f"visible={self.size}, hidden={len(self.bias) - self.size}"
