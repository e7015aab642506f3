"""Inputs spoilt in training, as denoising autoencoders read them: Vincent, Larochelle, Bengio & Manzagol (2008),
https://doi.org/10.1145/1390156.1390294; Vincent et al. (2010), https://jmlr.org/papers/v11/vincent10a.html, section 3.3
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError

Kind = Literal["masking", "gaussian", "salt-and-pepper"]


class Corruption(nn.Module):
    """Spoils inputs (n, ...) in training and leaves them alone in use.

    `masking` sets a share `amount` of all numbers to zero; `salt-and-pepper` sets such a share to the least or the greatest number of the
    batch, either with probability 1/2; `gaussian` adds normal numbers whose standard deviation is `amount`. Raises InputError for a share
    outside [0, 1), and for a deviation below 0.
    """

    def __init__(self, amount: float, kind: Kind = "masking"):
        super().__init__()
        if not 0 <= amount < (float("inf") if kind == "gaussian" else 1):
            bound = "a standard deviation of at least 0" if kind == "gaussian" else "a share of at least 0 and below 1"
            raise InputError(f"corruption={kind} expects noise to be {bound}; got {amount}. Write e.g. autoencoder:noise=0.25.")
        self.amount, self.kind = amount, kind

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.amount == 0:
            return x
        if self.kind == "gaussian":
            return x + self.amount * torch.randn_like(x)
        spoilt = torch.rand_like(x) < self.amount
        if self.kind == "masking":
            return torch.where(spoilt, 0.0, x)
        return torch.where(spoilt, torch.where(torch.rand_like(x) < 0.5, x.amin(), x.amax()), x)

    def extra_repr(self) -> str:
        return f"amount={self.amount}, kind={self.kind}"
