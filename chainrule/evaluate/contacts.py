"""How good maps of contacts are: of the most probable pairs far apart along the chain, the share that touch.

Moult, Fidelis, Kryshtafovych, Schwede & Tramontano (2016), https://doi.org/10.1002/prot.25064
"""

from __future__ import annotations

import torch
from torch import Tensor

LONG_RANGE = 24      # residues apart along the chain


def residues(truth: Tensor) -> Tensor:
    """How many residues each chain has (n,), by the pairs (n, t, t) that are asked for: those below 0 are not."""
    places = torch.arange(1, truth.shape[2] + 1, device=truth.device)
    return ((truth >= 0).any(1) * places).amax(1)


def precision(answer: Tensor, truth: Tensor, share: float, apart: int = LONG_RANGE) -> Tensor:
    """Of the L * share most probable pairs at least `apart` residues from one another, L the residues of a chain, the share that touch.

    Of probabilities (n, t, t) and class numbers (n, t, t), below 0 where a pair is not asked for: (n,) float64, NaN for a chain in which
    no such pair is asked for.

    >>> chances = torch.tensor([[[0.0, 0.9, 0.2], [0.9, 0.0, 0.6], [0.2, 0.6, 0.0]]])
    >>> truth = torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]])
    >>> [round(float(precision(chances, truth, share, apart=1)), 3) for share in (1 / 3, 2 / 3, 1)]
    [1.0, 0.5, 0.333]
    """
    t = truth.shape[1]
    places = torch.arange(t, device=truth.device)
    wanted = (truth >= 0) & (places - places[:, None] >= apart)                               # (n, t, t)
    values = torch.full((len(truth),), torch.nan, dtype=torch.float64)
    for row, length in enumerate(residues(truth).tolist()):
        chances, right = answer[row][wanted[row]], truth[row][wanted[row]] == 1
        if len(chances):
            first = chances.argsort(descending=True, stable=True)[: max(1, round(length * share))]
            values[row] = right[first].double().mean()
    return values
