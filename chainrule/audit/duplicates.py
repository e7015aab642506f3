"""Rows of one part that another part holds too: exactly, by their bytes, or nearly, by a distance that chance hardly gives.

Facco, d'Errico, Rodriguez & Laio (2017), https://doi.org/10.1038/s41598-017-11873-y (the dimension rows lie in, from two neighbours)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHANCE = 0.001      # of rows lie nearer than the threshold by chance
NEAREST = 0.1       # of the usual distance between neighbours: the threshold is never more
FEWEST = 20         # rows; of fewer, no usual distance is known


@dataclass(frozen=True)
class Near:
    """Pairs (k, 2) of positions, in the first and in the second part; `threshold` and the `usual` distance between neighbours."""

    pairs: Tensor
    distance: Tensor
    threshold: float
    usual: float


def keys(x: Tensor) -> list[bytes]:
    """What rows (n, ...) are to the byte."""
    held = x.detach().cpu()
    rows = np.ascontiguousarray((held + 0 if held.is_floating_point() else held).reshape(len(x), -1).numpy())  # + 0 makes -0 and 0 alike
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
    """Rows of `second` (m, d) closer to one of `first` (n, d) than chance puts one of a thousand, and not equal to it.

    With rows scattered evenly in D dimensions, a share 1 - 2^(-f^D) is nearer than f times the median distance between neighbours.
    """
    from sklearn.neighbors import NearestNeighbors

    nothing = Near(torch.empty(0, 2, dtype=torch.int64), torch.empty(0), 0.0, 0.0)
    a, b = first.double().flatten(1), second.double().flatten(1)
    if len(a) < FEWEST or not len(b):
        return nothing
    index = NearestNeighbors(n_neighbors=2).fit(a.numpy())
    own = torch.from_numpy(index.kneighbors()[0])                            # (n, 2), nearest and second nearest
    apart = own[own[:, 0] > 0]
    if len(apart) < FEWEST:
        return nothing
    usual = float(apart[:, 0].median())
    ratios = (apart[:, 1] / apart[:, 0]).log()
    dimension = 1 / max(float(ratios.mean()), 1e-9)
    threshold = usual * min(NEAREST, (CHANCE / math.log(2)) ** (1 / dimension))
    distance, which = (torch.from_numpy(t)[:, 0] for t in index.kneighbors(b.numpy(), n_neighbors=1))
    found = ((distance > 0) & (distance < threshold)).nonzero()[:, 0]
    found = found[distance[found].argsort(stable=True)]
    return Near(torch.stack([which[found], found], 1), distance[found], threshold, usual)
