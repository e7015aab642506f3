"""A convolutional restricted Boltzmann machine. Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.registry import nets
from chainrule.nets.layers.convolutional_machine import ConvolutionalMachine
from chainrule.nets.layers.machine import Kind

STEPS = 1000     # of the chain that a sample comes from


@nets("conv-rbm", source="Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453", rule="divergence", kind="energy",
      tasks=("density", "generation"), pictures=True)
class ConvolutionalRBM(ConvolutionalMachine):
    """One machine whose weights every place of a picture shares: (n, c, h, w) -> probabilities of its pooling units (n, codes).

    Of each block of `pool` x `pool` hidden units at most one is on. Pictures lie in [0, 1], or have unit variance for `units=gaussian`.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, filters: int = 40, kernel: int = 5, pool: int = 2,
                 units: Kind = "binary"):
        super().__init__(inputs, filters, kernel, pool, units=units)

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """The probabilities of the pooling units, (n, c, h, w) -> (n, codes)."""
        return self.pooled(x).flatten(1)

    @torch.no_grad()
    def sample(self, count: int, *, steps: int = STEPS) -> Tensor:
        """`count` pictures, the means at the end of chains of so many steps."""
        v = self.draw_visible(self.visible_bias.new_full((count, *self.shape), 0.5))
        for _ in range(steps - 1):
            v = self.gibbs(v)
        return self.visible(self.draw_hidden(self.hidden(v)))
