"""A restricted Boltzmann machine of two layers of units: its energy, its Gibbs chain at any temperature, and its partition function.

Smolensky (1986), "Information processing in dynamical systems", in Parallel Distributed Processing, vol. 1, ch. 6;
Hinton (2002), https://doi.org/10.1162/089976602760128018
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.densities import Estimate
from chainrule.core.errors import InputError
from chainrule.nets.layers.annealing import estimated, inverse_temperatures
from chainrule.nets.layers.units import Binary, Gaussian, Multinomial, Units

ENUMERABLE = 20  # units of one layer: 2^20 states take seconds
CHUNK = 2**14    # states held at once while enumerating


class Restricted(nn.Module):
    """Visible and hidden units with the energy alone(v) + alone(h) - h W v; of inputs (n, ...) the means of the hidden units (n, hidden).

    Tempered by an inverse temperature, at most 1, the energy is that times it, but for alone(v) of units that are numbers: at 0 they would
    be anywhere.
    """

    def __init__(self, visible: Units, hidden: Units, inputs: int, count: int):
        super().__init__()
        self._visible, self._hidden = visible, hidden
        self.weight = nn.Parameter(torch.randn(count, inputs).mul_(0.01))  # Hinton (2010), "A practical guide", section 8
        self.visible_bias = nn.Parameter(torch.zeros(inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """The means of the hidden units, (n, ...) -> (n, hidden)."""
        return self.hidden(x.flatten(1))

    def total(self, v: Tensor) -> Tensor:
        """What reaches each hidden unit: (..., visible) -> (..., hidden)."""
        return F.linear(v, self.weight, self.hidden_bias)

    def hidden(self, v: Tensor) -> Tensor:
        """The mean of each hidden unit given the visible ones, of binary units its probability: (n, visible) -> (n, hidden)."""
        return self._hidden.mean(self.total(v))

    def visible(self, h: Tensor) -> Tensor:
        """The mean of each visible unit given the hidden ones: (n, hidden) -> (n, visible)."""
        return self._visible.mean(F.linear(h, self.weight.T, self.visible_bias))

    def draw_hidden(self, mean: Tensor) -> Tensor:
        """Hidden states drawn about their `mean`: (n, hidden) -> (n, hidden)."""
        return self._hidden.draw(mean)

    def draw_visible(self, mean: Tensor) -> Tensor:
        """Visible states drawn about their `mean`: (n, visible) -> (n, visible)."""
        return self._visible.draw(mean)

    def gibbs(self, v: Tensor) -> Tensor:
        """Visible states after one round of drawing the hidden units, then the visible ones: (n, visible) -> (n, visible)."""
        return self.draw_visible(self.visible(self.draw_hidden(self.hidden(v))))

    def tempered(self, v: Tensor, inverse: Tensor) -> Tensor:
        """The same for states (temperatures, chains, visible), each row at its inverse temperature (temperatures, 1, 1)."""
        h = self._hidden.draw(self._hidden.mean(inverse * self.total(v)))
        own = inverse if self.finite else 1.0
        return self._visible.draw(self._visible.mean(inverse * F.linear(h, self.weight.T) + own * self.visible_bias))

    def exchanged(self, v: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """States (temperatures, chains, visible) after neighbouring temperatures have offered each other theirs, and the share accepted.

        First the first with the second, the third with the fourth and so on, then the second with the third; each exchange is accepted
        as by Metropolis, so that the joint distribution stays. Desjardins et al. (2010), https://proceedings.mlr.press/v9/desjardins10a.html
        """
        count, shares = len(v), []
        for first in (0, 1):
            partner = list(range(count))
            for k in range(first, count - 1, 2):
                partner[k], partner[k + 1] = k + 1, k
            if partner == list(range(count)):
                continue
            alone, total = self._visible.alone(v, self.visible_bias), self.total(v)               # (temperatures, chains), (..., hidden)
            gain = self._mass_at(inverse[partner], total) - self._mass_at(inverse, total)         # (temperatures, chains)
            if self.finite:
                gain = gain - (inverse[partner] - inverse)[..., 0] * alone
            drawn = torch.rand_like(gain)[[min(pair) for pair in enumerate(partner)]]
            swap = drawn.log() < gain + gain[partner]
            paired = [k for k, other in enumerate(partner) if k < other]
            shares.append(swap[paired].to(v.dtype).mean())
            v = torch.where(swap[..., None], v[partner], v)
        return v, torch.stack(shares).mean()

    def _mass_at(self, inverse: Tensor | float, total: Tensor) -> Tensor:
        return self._hidden.mass(inverse * total, self.hidden_bias)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """(n, visible), (n, hidden) -> (n,)"""
        together = F.linear(v, self.weight).mul(h).sum(-1)
        return self._visible.alone(v, self.visible_bias) + self._hidden.alone(h, self.hidden_bias) - together

    def free_energy(self, v: Tensor) -> Tensor:
        """Minus the log of the summed exp(-energy) over all hidden states: (n, visible) -> (n,)."""
        return self._visible.alone(v, self.visible_bias) - self._mass_at(1.0, self.total(v))

    def log_prob(self, v: Tensor) -> Tensor:
        """The exact log likelihood (n,) of visible states (n, visible); for machines small enough to enumerate."""
        return -self.free_energy(v) - self.log_partition()

    def pseudo_likelihood(self, v: Tensor) -> Tensor:
        """How likely (n,) each row's units are, each given all others, summed over the units: of binary states (n, visible), in nats.

        Of one unit a row, the first of the first row, the second of the second and so on, times their number. Besag (1975),
        https://doi.org/10.2307/2987782
        """
        n, visible = v.shape
        at = torch.arange(n, device=v.device) % visible
        change = 1 - 2 * v.gather(1, at[:, None])                                                  # (n, 1)
        total = self.total(v)
        flipped = total + change * self.weight.T[at]
        gain = change[:, 0] * self.visible_bias[at] + self._mass_at(1.0, flipped) - self._mass_at(1.0, total)
        return -visible * F.softplus(gain)

    @property
    def partition(self) -> Literal["exact", "annealed", "none"]:
        """How the partition function is to be had."""
        if not isinstance(self._hidden, Binary):
            return "none"
        return "exact" if self._enumerated <= ENUMERABLE else "annealed"

    @property
    def finite(self) -> bool:
        """Whether the visible units have finitely many states."""
        return self._visible.finite

    @property
    def binary(self) -> bool:
        """Whether the visible units are 0 or 1."""
        return isinstance(self._visible, Binary)

    @property
    def unbounded(self) -> bool:
        """Whether the visible units are numbers of any size."""
        return isinstance(self._visible, Gaussian)

    @property
    def caveat(self) -> str:
        return ""

    @property
    def _enumerated(self) -> int:
        """How many units are enumerated: those of the hidden layer, or of fewer visible ones that are binary."""
        hidden, visible = self.weight.shape
        return min(hidden, visible) if self.binary else hidden

    def log_partition(self) -> Tensor:
        """The log of the partition function, a scalar, by enumerating the smaller layer (the hidden one unless visible units are binary).

        Raises InputError where that layer has more than 20 units, or where hidden units have infinitely many states.
        """
        hidden, visible = self.weight.shape
        if self.partition == "none":
            raise InputError("A machine of rectified units may have no partition function. Compare free energies, or use units=gaussian.")
        if self.partition != "exact":
            raise InputError(f"The exact partition function enumerates a layer of at most {ENUMERABLE} units; this rbm has "
                             f"{visible} visible and {hidden} hidden units. Use a smaller machine, or compare free energies instead.")
        size = self._enumerated
        over_visible = self.binary and visible <= hidden
        parts = []
        for start in range(0, 2**size, CHUNK):
            states = bits(start, min(start + CHUNK, 2**size), size).to(self.weight)  # (chunk, size)
            mass = -self.free_energy(states) if over_visible else self._mass(states)  # (chunk,)
            parts.append(mass.logsumexp(0))
        return torch.stack(parts).logsumexp(0)

    def base(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Biases (d,) of visible units by themselves that have these means (d,), and the log of the partition function of such units."""
        bias = self._visible.bias_of(mean.to(self.weight))
        return bias, self._visible.mass(bias, bias)

    @torch.no_grad()
    def estimate_log_partition(self, mean: Tensor, *, temperatures: int = 3000, chains: int = 100) -> Estimate:
        """The log of the partition function by annealed importance sampling, from units by themselves that have these means (d,).

        Its mean is at most the true one, since the log of an unbiased estimate is too small on average. Raises InputError for a machine
        that has none.
        """
        return estimated(self.log_weights(mean, temperatures=temperatures, chains=chains))

    def log_weights(self, mean: Tensor, *, temperatures: int, chains: int) -> Tensor:
        """The log importance weights (chains,) of which the partition function is the mean, float64."""
        if self.partition == "none":
            raise InputError("A machine of rectified units may have no partition function. Compare free energies, or use units=gaussian.")
        bias, log_z = self.base(mean)
        v = self._visible.draw(self._visible.mean(bias.expand(chains, -1)))                        # (chains, visible)
        weights = (log_z + self._mass_at(0.0, self.hidden_bias)).double().repeat(chains)
        for low, high in itertools.pairwise(inverse_temperatures(temperatures)):
            total, (below, above) = self.total(v), (torch.lerp(bias, self.visible_bias, at) for at in (low, high))
            weights += (self._mass_at(high, total) - self._mass_at(low, total)
                        - self._visible.alone(v, above) + self._visible.alone(v, below)).double()
            h = self._hidden.draw(self._hidden.mean(high * total))
            v = self._visible.draw(self._visible.mean(torch.addmm(above, h, self.weight, alpha=high)))
        return weights

    @torch.no_grad()
    def reverse_log_likelihood(self, v: Tensor, mean: Tensor, *, temperatures: int = 1000, chains: int = 2) -> Tensor:
        """The log likelihood (n,) of visible states (n, visible) under annealing that begins at units with these means (d,), float64.

        Each of `chains` runs begins at the row and goes back to units by themselves; the mean of the weights is the probability that
        annealing ends at the row. Their log is too small on average, so that it is a bound from below where annealing forward gives one
        from above; both come near the likelihood as temperatures grow more. Burda, Grosse & Salakhutdinov (2015),
        https://arxiv.org/abs/1412.8566. Raises InputError for a machine without a partition function.
        """
        if self.partition == "none":
            raise InputError("A machine of rectified units may have no partition function. Compare free energies, or use units=gaussian.")
        bias, log_z = self.base(mean)
        states = v.repeat_interleave(chains, 0)                                                    # (n chains, visible)
        weights = (-self.free_energy(states) - log_z - self._mass_at(0.0, self.hidden_bias)).double()
        for low, high in reversed(list(itertools.pairwise(inverse_temperatures(temperatures)))):
            below, above = (torch.lerp(bias, self.visible_bias, at) for at in (low, high))
            h = self._hidden.draw(self._hidden.mean(high * self.total(states)))
            states = self._visible.draw(self._visible.mean(torch.addmm(above, h, self.weight, alpha=high)))
            total = self.total(states)
            weights -= (self._mass_at(high, total) - self._mass_at(low, total)
                        - self._visible.alone(states, above) + self._visible.alone(states, below)).double()
        log_likelihood: Tensor = weights.unflatten(0, (len(v), chains)).logsumexp(1) - math.log(chains)
        return log_likelihood

    @torch.no_grad()
    def sample(self, count: int, *, steps: int = 1000) -> Tensor:
        """`count` visible states (count, visible), each from its own Gibbs chain of so many steps."""
        v = self.visible(self.hidden_bias.new_zeros(count, len(self.hidden_bias)))  # (count, visible)
        for _ in range(steps):
            v = self.gibbs(v)
        return v

    def _mass(self, h: Tensor) -> Tensor:
        """The log of exp(-energy) summed, or integrated, over all visible states: (n, hidden) -> (n,)."""
        total = F.linear(h, self.weight.T, self.visible_bias)
        return self._visible.mass(total, self.visible_bias) - self._hidden.alone(h, self.hidden_bias)


def visible_units(kind: str, groups: tuple[int, ...]) -> Units:
    """The visible units of that kind."""
    return Binary() if kind == "binary" else Multinomial(groups) if kind == "multinomial" else Gaussian()


def bits(start: int, end: int, size: int) -> Tensor:
    """The numbers start..end-1 as rows of `size` binary digits: (end - start, size)."""
    return (torch.arange(start, end)[:, None] >> torch.arange(size)) & 1
