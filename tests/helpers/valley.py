"""Rosenbrock's valley as a net, for every solver."""

import torch
from torch import nn


class Valley(nn.Module):
    """Rosenbrock's residuals (1 - a, 10 (b - a^2)), half of whose square is 50 (b - a^2)^2 + (1 - a)^2 / 2.

    It starts at (a, b), and the bottom is at (1, 1). (n, any) -> (n, 2).
    """

    def __init__(self, a: float = -1.2, b: float = 1.0):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([a, b], dtype=torch.double))

    def forward(self, x):
        a, b = self.at
        return torch.stack([1 - a, 10 * (b - a * a)]).expand(len(x), -1)
