"""Which symbols a net reads alike: the nearest neighbours of their vectors. Bengio et al. (2003); Mikolov et al. (2013), arXiv:1301.3781"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
