"""What a net reads alike: the nearest neighbours of its vectors of symbols, and of its codes of rows.

Bengio et al. (2003), https://jmlr.org/papers/v3/bengio03a.html; Mikolov et al. (2013), https://arxiv.org/abs/1301.3781
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 512   # rows whose distances to all others are in memory at once


def nearest(vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each vector (n, d) the `count` others that point most nearly where it does, and their cosines, each (n, count)."""
    unit = F.normalize(vectors.double(), dim=1)
    alike = unit @ unit.T                                            # (n, n)
    alike.fill_diagonal_(-torch.inf)
    cosines, others = alike.topk(min(count, len(vectors) - 1), 1)
    return others, cosines


def flattened(vectors: Tensor) -> Tensor:
    """The two directions (n, 2) in which vectors (n, d) of one length differ most: principal components."""
    unit = F.normalize(vectors.double(), dim=1)
    centred = unit - unit.mean(0)
    basis = torch.linalg.svd(centred, full_matrices=False).Vh[:2]   # (2, d)
    sign = torch.where(basis.gather(1, basis.abs().argmax(1, keepdim=True)) < 0, -1.0, 1.0)
    places: Tensor = centred @ (sign * basis).T
    return places


def near(codes: Tensor, count: int, of: Tensor | None = None) -> Tensor:
    """The numbers (n, count) of the codes that are nearest, by Euclidean distance and in its order, to each of `of` (n, d).

    Where these are not given they are the codes (m, d) themselves, and none is its own neighbour. Codes are looked at in blocks.
    """
    codes = codes.double()
    asked = codes if of is None else of.double()
    count = min(count, len(codes) - (of is None))
    blocks = []
    for begin in range(0, len(asked), BLOCK):
        some = asked[begin : begin + BLOCK]
        away = torch.cdist(some, codes, compute_mode="donot_use_mm_for_euclid_dist")
        if of is None:
            away[torch.arange(len(some)), torch.arange(begin, begin + len(some))] = torch.inf
        blocks.append(away.topk(count, 1, largest=False).indices)
    return torch.cat(blocks)


def two_components(codes: Tensor) -> tuple[Tensor, float]:
    """Codes (n, 2) as they are, or their places (n, 2) along their two main components, and the share of their variance that these have."""
    centred = codes.double() - codes.double().mean(0)
    if codes.shape[1] <= 2:
        return torch.cat([codes.double(), torch.zeros(len(codes), 2 - codes.shape[1], dtype=torch.float64)], 1), 1.0
    _, lengths, axes = torch.linalg.svd(centred, full_matrices=False)
    basis = axes[:2]
    sign = torch.where(basis.gather(1, basis.abs().argmax(1, keepdim=True)) < 0, -1.0, 1.0)
    total = float(lengths.square().sum())
    return centred @ (sign * basis).T, float(lengths[:2].square().sum()) / total if total else 1.0
