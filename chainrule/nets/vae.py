"""The variational autoencoder: Kingma & Welling (2014), https://arxiv.org/abs/1312.6114; Rezende, Mohamed & Wierstra (2014),
https://arxiv.org/abs/1401.4082; the weight of its divergence: Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.dense import check_widths, stack


@nets("vae", source="Kingma & Welling (2014), https://arxiv.org/abs/1312.6114", init="xavier", tasks=("reconstruction",), kind="generative",
      unit_loss="binary-cross-entropy")
class VariationalAutoencoder(nn.Module):
    """A Gaussian over codes for each input, and a decoder of codes: (n, *inputs) -> (n, inputs), decoded at the mean code.

    What is decoded are the log-odds of Bernoulli numbers with the loss binary-cross-entropy, the means of Gaussian ones with squared: of
    unit `variance`, or of a `learned` one for each number. `beta` is how much the divergence from the prior counts in training; `samples`
    of the code of each row are drawn where its likelihood is bounded, by importance weights where these are several.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (200,), code: int = 20,
                 activation: str = "tanh", beta: float = 1.0, samples: int = 1, variance: Literal["unit", "learned"] = "unit"):
        super().__init__()
        check_widths("vae", hidden, code)
        if beta < 0 or samples < 1:
            raise InputError(f"vae expects beta to be at least 0 and samples at least 1; got beta={beta}, samples={samples}. Write e.g. "
                             "vae:beta=1,samples=50.")
        self.encoder = stack(math.prod(inputs), hidden, 2 * code, activation)
        self.decoder = stack(code, hidden[::-1], outputs, activation)
        self.log_deviations = nn.Parameter(torch.zeros(outputs)) if variance == "learned" else None
        self.code, self.beta, self.samples = code, beta, samples

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

    def deviations(self) -> Tensor | None:
        """The standard deviations (inputs,) of numbers about what is decoded; None where they are one."""
        return None if self.log_deviations is None else self.log_deviations.exp()

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Decoded draws from the prior, (count, inputs): their means, or draws about these where deviations are learned."""
        like = next(self.parameters())
        rows = self.decode(torch.randn(count, self.code, dtype=like.dtype, device=like.device))
        deviations = self.deviations()
        return rows if deviations is None else rows + deviations * torch.randn_like(rows)
