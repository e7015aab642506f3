"""Restricted Boltzmann machines as parts of deeper nets: visible units may have units for classes behind them, of which one is on.

Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527; hidden units that are numbers: Hinton & Salakhutdinov (2006),
https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from chainrule.nets.layers.restricted import Restricted
from chainrule.nets.layers.units import Binary, Gaussian, Multinomial

Kind = Literal["binary", "gaussian"]


class Machine(Restricted):
    """Visible states (n, visible + labels) -> probabilities, or means, of the hidden units (n, hidden).

    Visible units are binary, and one of the last `labels` of them is on; hidden ones are as `code` says.
    """

    def __init__(self, visible: int, hidden: int, *, labels: int = 0, code: Kind = "binary"):
        super().__init__(Multinomial((1,) * visible + (labels,)) if labels else Binary(), Binary() if code == "binary" else Gaussian(),
                         visible + labels, hidden)
        self.labels = labels

    def label_scores(self, rows: Tensor) -> Tensor:
        """Minus the free energy of rows (n, visible) with each label on, up to a constant of the row: (n, labels)."""
        size = rows.shape[-1]
        total = F.linear(rows, self.weight[:, :size], self.hidden_bias)[:, None] + self.weight[:, size:].T       # (n, labels, hidden)
        return self.visible_bias[size:] + self._hidden.mass(total, self.hidden_bias)

    def cost(self, v: Tensor, h: Tensor) -> Tensor:
        """Minus the log probability (n,) of visible states given hidden ones."""
        mean = F.linear(h, self.weight.T, self.visible_bias)
        (rows, labels), (row_means, label_means) = (t.split([t.shape[-1] - self.labels, self.labels], -1) for t in (v, mean))
        cost = bernoulli_cost(rows, row_means)
        return cost - (labels * label_means.log_softmax(-1)).sum(-1) if self.labels else cost

    def extra_repr(self) -> str:
        hidden, visible = self.weight.shape
        return f"visible={visible - self.labels}, hidden={hidden}" + (f", labels={self.labels}" if self.labels else "")


def bernoulli_cost(states: Tensor, logits: Tensor) -> Tensor:
    """Minus the log probability (n,) of states in [0, 1] (n, units) under units that are on with these log-odds."""
    return (F.softplus(logits) - states * logits).sum(-1)
