"""The probabilistic neural network: Parzen windows for each class, and Bayes' rule.

Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q; Parzen (1962), https://doi.org/10.1214/aoms/1177704472
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.prototypes import squared_distances

UNKNOWN = 100         # pattern units of a net that knows no data yet
LEAST = 1e-30         # of a pattern's weight: that of one which is not there


@nets("pnn", source="Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q", rule="parzen", tasks=("classification",),
      units_of_rows="patterns")
class ProbabilisticNet(nn.Module):
    """A unit for each training row, and a Gaussian window about it, all of one width: (n, ...) -> log shares of classes (n, outputs).

    The answer is the log of the prior of the class times its density at the row, up to a constant; its softmax are probabilities.
    `patterns` is the number of units, as many as training rows where it is left out; of fewer, the rows are drawn evenly.
    """

    belongs: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, patterns: int | None = None):
        super().__init__()
        count = UNKNOWN if patterns is None else patterns
        if count < 1:
            raise InputError(f"pnn needs at least one pattern unit; got patterns={patterns}. Leave it out to have one for each "
                             "training row.")
        self.patterns = nn.Parameter(torch.randn(count, math.prod(inputs)))                      # (m, d)
        self.log_width = nn.Parameter(torch.zeros(()))
        classes = torch.arange(count) % max(outputs, 1)
        self.register_buffer("belongs", (classes[:, None] == torch.arange(outputs)).float())     # (m, outputs): what each counts for whom

    def forward(self, x: Tensor) -> Tensor:
        windows = -squared_distances(x.flatten(1), self.patterns) / (2 * (2 * self.log_width).exp())     # (n, m)
        weights = self.belongs.clamp(min=LEAST).log()                                            # (m, outputs)
        shares: Tensor = torch.stack([(windows + weights[:, k]).logsumexp(1) for k in range(weights.shape[1])], 1)
        return shares

    def log_densities(self, x: Tensor) -> Tensor:
        """The log density of inputs (n, ...) in each class, in nats: (n, outputs)."""
        d = self.patterns.shape[1]
        constant = 0.5 * d * math.log(2 * math.pi) + d * self.log_width
        return torch.as_tensor(self(x) - self.belongs.sum(0).clamp(min=LEAST).log() - constant)

    def extra_repr(self) -> str:
        return f"patterns={len(self.patterns)}, features={self.patterns.shape[1]}, classes={self.belongs.shape[1]}"
