"""Classification: one class for each sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from chainrule.core.loss import identity, shares


def probabilities(outputs: Tensor, signed: bool, link: Callable[[Tensor], Tensor]) -> Tensor:
    """Class probabilities (n, classes) from the raw scores of a net, `signed` where it gives one for two classes."""
    if signed:
        positive = torch.sigmoid(2 * outputs.reshape(-1))
        return torch.stack([1 - positive, positive], 1)
    return shares(outputs) if link is identity else link(outputs)
