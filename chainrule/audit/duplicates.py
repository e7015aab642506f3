"""Rows of one part that another part holds too: exactly, by their bytes, or nearly, by a distance that chance hardly gives.

Facco, d'Errico, Rodriguez & Laio (2017), https://doi.org/10.1038/s41598-017-11873-y (the dimension rows lie in, from two neighbours)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHANCE = 0.05       # that any row of a part lies nearer than the threshold by chance
NEAREST = 0.1       # of the distance to the k-th neighbour: the threshold is never more
KTH = 10            # neighbour, whose distance says how densely rows lie around
AROUND = 40         # rows that say in how many dimensions they do
FEWEST = 20         # rows; of fewer, no usual distance is known


@dataclass(frozen=True)
class Near:
    """Pairs (k, 2) of positions, in the first and in the second part, the closest first; of each its `distance` (k,), the `threshold`
    below which it is close, and the `usual` distance around it, to the tenth neighbour.
    """

    pairs: Tensor
    distance: Tensor
    threshold: Tensor
    usual: Tensor


def keys(x: Tensor) -> list[bytes]:
    """What rows (n, ...) are to the byte."""
    x = x.detach().cpu()
    rows = np.ascontiguousarray((x + 0 if x.is_floating_point() else x).reshape(len(x), -1).numpy())  # + 0 makes -0 and 0 alike
    return [row.tobytes() for row in rows]


def exact(first: list[bytes], second: list[bytes]) -> Tensor:
    """Pairs (k, 2) of positions: the first of `first` that each of `second` repeats."""
    place: dict[bytes, int] = {}
    for i, key in enumerate(first):
        place.setdefault(key, i)
    pairs = [(place[key], j) for j, key in enumerate(second) if key in place]
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)


def within(rows: list[bytes]) -> list[list[int]]:
    """Groups of positions that hold the same row."""
    place: dict[bytes, list[int]] = {}
    for i, key in enumerate(rows):
        place.setdefault(key, []).append(i)
    return [group for group in place.values() if len(group) > 1]


def near(first: Tensor, second: Tensor) -> Near:
    """Rows of `second` (m, d) closer to one of `first` (n, d) than chance puts any of them, and not equal to it.

    What is close depends on how densely rows lie there. Among rows scattered evenly around one, in D dimensions, the nearest is nearer than
    f times the k-th neighbour with probability 1 - (1 - f^D)^(k - 1). D is that of the rows around (their second neighbour against their
    nearest), less the error of so few, so that a region of few dimensions among others is not taken for close.
    """
    from sklearn.neighbors import NearestNeighbors

    nothing = Near(torch.empty(0, 2, dtype=torch.int64), torch.empty(0), torch.empty(0), torch.empty(0))
    a, b = first.double().flatten(1), second.double().flatten(1)
    if len(a) < FEWEST or not len(b):
        return nothing
    index = NearestNeighbors(n_neighbors=2).fit(a.numpy())
    own = torch.from_numpy(index.kneighbors()[0])                            # (n, 2), nearest and second nearest
    lone = own[:, 0] > 0
    if int(lone.sum()) < FEWEST:
        return nothing
    ratio = torch.where(lone, (own[:, 1] / own[:, 0].clamp_min(1e-300)).log(), 0.0)   # (n,), 1 / D on average
    around = min(AROUND, len(a))
    distances, places = (torch.from_numpy(t) for t in index.kneighbors(b.numpy(), n_neighbors=around))   # (m, around)
    alone = lone[places].sum(1)                                              # (m,)
    spread = (ratio[places].sum(1) / alone.clamp(min=1)).clamp_min(1e-9)
    wide = (1 / spread) * (1 - 2 / alone.clamp(min=4).double().sqrt())
    dimension = torch.minimum(wide, 1 / ratio[lone].mean().clamp_min(1e-9))  # (m,)
    k = min(KTH, around)
    usual = distances[:, k - 1]                                              # (m,)
    share = (1 - (1 - CHANCE / len(b)) ** (1 / (k - 1))) ** (1 / dimension)
    threshold = usual * share.clamp(max=NEAREST)
    close = ((distances[:, 0] > 0) & (distances[:, 0] < threshold) & (alone >= FEWEST // 2)).nonzero()[:, 0]
    close = close[(distances[close, 0] / usual[close]).argsort(stable=True)]
    return Near(torch.stack([places[close, 0], close], 1), distances[close, 0], threshold[close], usual[close])
