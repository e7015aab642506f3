"""Autoencoders: a code through which the inputs pass. Rumelhart, Hinton & Williams (1986); Baldi & Hornik (1989),
https://doi.org/10.1016/0893-6080(89)90014-2 (a linear one spans the principal components)
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from chainrule.core.registry import nets
from chainrule.nets.layers.dense import check_widths, stack


@nets("autoencoder", source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", init="xavier",
      tasks=("reconstruction",))
class Autoencoder(nn.Module):
    """An encoder to `code` linear units and a decoder of the same hidden layers in reverse: (n, *inputs) -> (n, inputs).

    Without hidden layers both are linear, and the code spans the first principal components.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (), code: int = 10, activation: str = "sigmoid"):
        super().__init__()
        check_widths("autoencoder", hidden, code)
        size = math.prod(inputs)
        self.encoder = stack(size, hidden, code, activation)
        self.decoder = stack(code, hidden[::-1], outputs, activation)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (n, code)."""
        codes: Tensor = self.encoder(x.flatten(1))
        return codes

    def decode(self, code: Tensor) -> Tensor:
        """Reconstructions (n, inputs) of codes (n, code)."""
        rows: Tensor = self.decoder(code)
        return rows

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))
