"""Units that stand for the rows nearest to them: what nets of prototypes share."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Code = Literal["position", "one-hot", "distances"]


def squared_distances(x: Tensor, units: Tensor) -> Tensor:
    """The squared distance of each row (n, d) to each unit (k, d): (n, k)."""
    return (x.square().sum(1, keepdim=True) - 2 * x @ units.T + units.square().sum(1)).clamp(min=0)


class Prototypes(nn.Module):
    """Units `weight` (k, d), of which the nearest answers: (n, ...) -> the nearest unit's place (n, d).

    `code` says what `encode` gives: which unit answered, by its position in [0, 1] or as a 1 in its column, or how far each unit is.
    """

    def __init__(self, inputs: tuple[int, ...], units: int, code: Code):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, math.prod(inputs)))
        self.code = code

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two units (n, 2) nearest to inputs (n, ...), the nearest first, and their distances (n, 2); of a single unit, it twice."""
        rows = x.flatten(1)
        units = squared_distances(rows, self.weight).topk(min(2, len(self.weight)), dim=1, largest=False).indices
        units = units if len(self.weight) > 1 else units.expand(-1, 2)
        return units, (rows[:, None] - self.weight[units]).square().sum(2).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[squared_distances(x.flatten(1), self.weight).argmin(1)]

    def encode(self, x: Tensor) -> Tensor:
        """Codes of inputs (n, ...): positions (n, axes), or a number for each unit (n, k)."""
        distances = squared_distances(x.flatten(1), self.weight)                            # (n, k)
        if self.code == "distances":
            return distances.sqrt()
        winner = distances.argmin(1)
        if self.code == "position":
            return self.positions()[winner]
        return (winner[:, None] == torch.arange(len(self.weight), device=x.device)).to(distances.dtype)

    def positions(self) -> Tensor:
        """Where each unit lies (k, axes), from 0 to 1 along each axis."""
        return torch.linspace(0, 1, len(self.weight), dtype=self.weight.dtype, device=self.weight.device)[:, None]

    def extra_repr(self) -> str:
        return f"units={len(self.weight)}, features={self.weight.shape[1]}"
