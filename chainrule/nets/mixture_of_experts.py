"""Mixtures of experts: small nets, and a gate that learns which of them to ask where.

Jacobs, Jordan, Nowlan & Hinton (1991), https://doi.org/10.1162/neco.1991.3.1.79; widths learned as in Jordan & Jacobs (1994),
https://doi.org/10.1162/neco.1994.6.2.181
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import make_activation, widening
from chainrule.nets.layers.dense import Dense

SOURCE = "Jacobs, Jordan, Nowlan & Hinton (1991), https://doi.org/10.1162/neco.1991.3.1.79"
NARROWEST = 0.01    # of a target's standard deviation: an expert that hits one target exactly would otherwise gain without bound


class Mixed(nn.Module):
    """What both families share: a gate and so many experts, each a hidden layer (none where it has 0 units) and its outputs."""

    def __init__(self, family: str, inputs: tuple[int, ...], outputs: int, experts: int, hidden: int, gate: int, activation: str):
        super().__init__()
        if experts < 1 or hidden < 0 or gate < 0:
            raise InputError(f"{family} needs at least one expert and no negative number of units; got experts={experts}, hidden={hidden}, "
                             f"gate={gate}. Write e.g. {family}:experts=4,hidden=16.")
        self.gate = _small(inputs, experts, gate, activation)
        self.experts = nn.ModuleList(_small(inputs, outputs, hidden, activation) for _ in range(experts))

    def log_gates(self, x: Tensor) -> Tensor:
        """The log of each expert's share at each sample: (n, ...) -> (n, experts)."""
        gates: Tensor = self.gate(x)
        return gates.log_softmax(1)

    def regimes(self, x: Tensor) -> Tensor:
        """Which expert is asked where: the gate's probabilities (n, experts)."""
        return self.log_gates(x).exp()

    def each(self, x: Tensor) -> Tensor:
        """What every expert says: (n, experts, outputs)."""
        return torch.stack([expert(x) for expert in self.experts], 1)

    def joint(self, x: Tensor, y: Tensor) -> Tensor:
        """The log of each expert's share times the likelihood it gives the target: (n, experts)."""
        return self.log_gates(x) + self.log_likelihoods(x, y)

    def log_likelihoods(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError

    def responsibilities(self, x: Tensor, y: Tensor) -> Tensor:
        """The probability of each expert given sample and target: (n, experts)."""
        return self.joint(x, y).softmax(1)


@nets("experts", source=SOURCE, loss="cross-entropy", init="xavier")
class Experts(Mixed):
    """Experts that classify, mixed by the gate: (n, ...) -> the log of the mixture's class probabilities (n, classes).

    Softmax leaves log probabilities as they are, so cross-entropy of these outputs is the paper's -log sum_i g_i p_i(class).
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, experts: int = 4, hidden: int = 16, gate: int = 0,
                 activation: str = "tanh"):
        super().__init__("experts", inputs, outputs, experts, hidden, gate, activation)

    def forward(self, x: Tensor) -> Tensor:
        return (self.log_gates(x)[:, :, None] + self.each(x).log_softmax(2)).logsumexp(1)

    def log_likelihoods(self, x: Tensor, y: Tensor) -> Tensor:
        own = self.each(x).log_softmax(2)                                     # (n, experts, classes)
        return own.gather(2, y[:, None, None].expand(-1, own.shape[1], 1))[:, :, 0]


@nets("expert-values", source=SOURCE, loss="squared", init="xavier", rule="competing")
class ExpertValues(Mixed):
    """Experts that predict values, mixed by the gate: (n, ...) -> the mixture's mean (n, outputs).

    Each expert is a Gaussian around what it says, of a width of its own; `competing` is the rule that lets them specialise.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, experts: int = 4, hidden: int = 16, gate: int = 0,
                 activation: str = "tanh"):
        super().__init__("expert-values", inputs, outputs, experts, hidden, gate, activation)
        self.log_width = nn.Parameter(torch.zeros(experts))

    def forward(self, x: Tensor) -> Tensor:
        return (self.regimes(x)[:, :, None] * self.each(x)).sum(1)

    def log_likelihoods(self, x: Tensor, y: Tensor) -> Tensor:
        own = self.each(x)                                                    # (n, experts, outputs)
        width = NARROWEST + self.log_width.exp()                              # (experts,)
        off = one_hot_like(y, own[:, 0])[:, None] - own
        k = own.shape[2]
        return -0.5 * off.square().sum(2) / width.square() - k * width.log() - 0.5 * k * math.log(2 * math.pi)


def _small(inputs: tuple[int, ...], outputs: int, hidden: int, activation: str) -> nn.Module:
    """A hidden layer and an output layer, or the output layer alone: (n, ...) -> (n, outputs)."""
    if hidden == 0:
        return Dense(inputs, outputs)
    return nn.Sequential(Dense(inputs, hidden * widening(activation)), make_activation(activation), nn.Linear(hidden, outputs))
