"""What rows say of each feature, gathered in one pass and joined over parts: count, extremes, mean and mean squared deviation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from chainrule.core.traits import Range


def scaling(centre: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """(x - centre) * factor: the factor is 1 / spread, and 0 where there is no spread, or one too small to divide by."""
    factor = 1 / spread
    return centre, torch.where(factor.isfinite(), factor, torch.zeros_like(spread))


@dataclass(frozen=True)
class Moments:
    """What rows say of each feature: how many they are, extremes, mean and mean squared deviation, each (d,) float64 or scalar.

    Those of two sets of rows make those of both: Chan, Golub & LeVeque (1983), https://doi.org/10.1080/00031305.1983.10483115
    """

    count: int
    low: Tensor
    high: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        """Of rows (n, d) or (n,), at least one."""
        low, high = values.aminmax(dim=0)
        chunks = values.split(65536)
        mean = sum((c.double().sum(0) for c in chunks), torch.zeros(values.shape[1:], dtype=torch.float64)) / len(values)
        square = sum(((c.double() - mean).square().sum(0) for c in chunks), torch.zeros_like(mean)) / len(values)
        return cls(len(values), low.double(), high.double(), mean, square)

    def with_(self, other: Moments) -> Moments:
        count = self.count + other.count
        share, apart = other.count / count, other.mean - self.mean
        return Moments(count, torch.minimum(self.low, other.low), torch.maximum(self.high, other.high), self.mean + apart * share,
                       self.square * (1 - share) + other.square * share + apart.square() * (share * (1 - share)))

    def scaling(self, range: Range) -> tuple[Tensor, Tensor]:
        """Centre and factor per feature: minimum and extent for `unit`, else mean and sd."""
        if range == "unit":
            return scaling(self.low, self.high - self.low)
        extent = self.high - self.low
        usual = torch.where(self.square > 0, self.square.sqrt(), extent)  # squares of what is below 1e-162 are 0
        return scaling(self.mean, torch.where(extent > 0, usual, torch.zeros_like(usual)))


def over(pieces: Iterable[Tensor]) -> Moments:
    """Over rows of features (n, d), for each of these; over all numbers of rows of more axes, (1,)."""
    rows = (x if x.is_floating_point() else x.double() for x in pieces)
    return reduce(Moments.with_, (Moments.of(x if x.dim() == 2 else x.reshape(-1, 1)) for x in rows))


def of_columns(values: Tensor, range: Range) -> Tensor:
    """Centre and factor (2, d) of the columns of sequences (n, t, d), of what is not missing; as it is where a column has nothing."""
    columns = [column[~column.isnan()] for column in values.flatten(0, 1).unbind(1)]
    usual = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return torch.stack([torch.stack(Moments.of(column).scaling(range)) if len(column) else usual for column in columns], 1)
