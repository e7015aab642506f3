"""The variational autoencoder: Kingma & Welling (2014), https://arxiv.org/abs/1312.6114; Rezende, Mohamed & Wierstra (2014)"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.registry import nets
from chainrule.nets.layers.dense import check_widths, stack


@nets("vae", source="Kingma & Welling (2014), https://arxiv.org/abs/1312.6114", init="xavier", tasks=("reconstruction",), kind="generative")
class VariationalAutoencoder(nn.Module):
    """A Gaussian over codes for each input, and a decoder of codes: (n, *inputs) -> (n, inputs), decoded at the mean code."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (200,), code: int = 20,
                 activation: str = "tanh"):
        super().__init__()
        check_widths("vae", hidden, code)
        self.encoder = stack(math.prod(inputs), hidden, 2 * code, activation)
        self.decoder = stack(code, hidden[::-1], outputs, activation)
        self.code = code

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (n, code) of the codes of inputs (n, ...)."""
        mean, log_variance = self.encoder(x.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def encode(self, x: Tensor) -> Tensor:
        """The mean codes (n, code)."""
        return self.posterior(x)[0]

    def decode(self, code: Tensor) -> Tensor:
        """What the decoder gives for codes (n, code): (n, inputs)."""
        rows: Tensor = self.decoder(code)
        return rows

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def sample(self, count: int) -> Tensor:
        """Decoded draws from the prior, (count, inputs)."""
        return self.decode(torch.randn(count, self.code, device=next(self.parameters()).device))
