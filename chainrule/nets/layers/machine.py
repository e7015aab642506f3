"""Two layers of stochastic units with an energy, as parts of deeper nets: restricted Boltzmann machines whose visible units may have
units for classes behind them, of which one is on. Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527;
hidden units that are numbers: Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Units = Literal["binary", "gaussian"]


class Machine(nn.Module):
    """Visible states (n, visible + labels) -> probabilities, or means, of the hidden units (n, hidden).

    The energy is -h W v - c h - b v of binary units, with h^2 / 2 for hidden ones that are Gaussian of unit variance, |v - b|^2 / 2 for
    visible ones. The last `labels` visible units are binary, and one of them is on.
    """

    def __init__(self, visible: int, hidden: int, *, labels: int = 0, units: Units = "binary", code: Units = "binary"):
        super().__init__()
        self.labels, self.units, self.code = labels, units, code
        self.weight = nn.Parameter(torch.randn(hidden, visible + labels).mul_(0.01))  # Hinton (2010), "A practical guide", section 8
        self.visible_bias = nn.Parameter(torch.zeros(visible + labels))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, v: Tensor) -> Tensor:
        return self.hidden(v)

    def hidden(self, v: Tensor) -> Tensor:
        """The mean of each hidden unit given the visible ones: (n, visible + labels) -> (n, hidden)."""
        mean = F.linear(v, self.weight, self.hidden_bias)
        return torch.sigmoid(mean) if self.code == "binary" else mean

    def visible(self, h: Tensor) -> Tensor:
        """The mean of each visible unit given the hidden ones: (n, hidden) -> (n, visible + labels)."""
        mean = F.linear(h, self.weight.T, self.visible_bias)
        rows, labels = mean.split([mean.shape[-1] - self.labels, self.labels], -1)
        rows = torch.sigmoid(rows) if self.units == "binary" else rows
        return torch.cat([rows, labels.softmax(-1)], -1) if self.labels else rows

    def draw_hidden(self, mean: Tensor) -> Tensor:
        """Hidden states drawn about their mean: (n, hidden) -> (n, hidden)."""
        return drawn(mean, self.code)

    def draw_visible(self, mean: Tensor) -> Tensor:
        """Visible states drawn about their mean, one label on: (n, visible + labels) -> (n, visible + labels)."""
        if not self.labels:
            return drawn(mean, self.units)
        rows, labels = mean.split([mean.shape[-1] - self.labels, self.labels], -1)
        return torch.cat([drawn(rows, self.units), one_of(labels)], -1)

    def gibbs(self, v: Tensor) -> Tensor:
        """Visible states after one round of drawing the hidden units, then the visible ones: (n, visible + labels)."""
        return self.draw_visible(self.visible(self.draw_hidden(self.hidden(v))))

    def free_energy(self, v: Tensor) -> Tensor:
        """Minus the log of exp(-energy) summed, or integrated, over all hidden states, up to a constant: (n, visible + labels) -> (n,)."""
        push = F.linear(v, self.weight, self.hidden_bias)                            # (n, hidden)
        over = F.softplus(push).sum(-1) if self.code == "binary" else 0.5 * push.square().sum(-1)
        if self.units == "binary":
            return -(v @ self.visible_bias) - over
        size = v.shape[-1] - self.labels
        apart = 0.5 * (v[..., :size] - self.visible_bias[:size]).square().sum(-1)
        return apart - v[..., size:] @ self.visible_bias[size:] - over

    def label_scores(self, rows: Tensor) -> Tensor:
        """Minus the free energy of rows (n, visible) with each label on, up to a constant of the row: (n, labels)."""
        size = rows.shape[-1]
        push = F.linear(rows, self.weight[:, :size], self.hidden_bias)[..., None] + self.weight[:, size:]     # (n, hidden, labels)
        over = F.softplus(push).sum(-2) if self.code == "binary" else 0.5 * push.square().sum(-2)
        return self.visible_bias[size:] + over

    def cost(self, v: Tensor, h: Tensor) -> Tensor:
        """Minus the log probability (n,) of visible states given hidden ones; of Gaussian ones up to a constant."""
        mean = F.linear(h, self.weight.T, self.visible_bias)
        (rows, labels), (row_means, label_means) = (t.split([t.shape[-1] - self.labels, self.labels], -1) for t in (v, mean))
        cost = bernoulli_cost(rows, row_means) if self.units == "binary" else 0.5 * (rows - row_means).square().sum(-1)
        return cost - (labels * label_means.log_softmax(-1)).sum(-1) if self.labels else cost

    def extra_repr(self) -> str:
        hidden, visible = self.weight.shape
        return f"visible={visible - self.labels}, hidden={hidden}" + (f", labels={self.labels}" if self.labels else "")


def drawn(mean: Tensor, units: Units = "binary") -> Tensor:
    """States about their mean, from the global generator: zeros and ones, or numbers of unit variance."""
    return (torch.rand_like(mean) < mean).to(mean.dtype) if units == "binary" else mean + torch.randn_like(mean)


def one_of(shares: Tensor) -> Tensor:
    """One-hot rows drawn by their shares: (n, k) -> (n, k)."""
    waits = -torch.rand_like(shares).clamp(min=1e-20).log() / shares.clamp(min=1e-20)     # exponential: the first comes by its share
    return (waits == waits.amin(-1, keepdim=True)).to(shares.dtype)


def bernoulli_cost(states: Tensor, logits: Tensor) -> Tensor:
    """Minus the log probability (n,) of states in [0, 1] (n, units) under units that are on with these log-odds."""
    return (F.softplus(logits) - states * logits).sum(-1)
