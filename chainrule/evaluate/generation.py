"""How well samples stand for rows: which rows they are near, whether rows are near them, how many clusters of rows they reach.

Naeem, Oh, Uh, Choi & Yoo (2020), https://arxiv.org/abs/2002.09797; Kynkaanniemi, Karras, Laine, Lehtinen & Aila (2019),
https://arxiv.org/abs/1904.06991; Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter (2017), https://arxiv.org/abs/1706.08500
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

NEIGHBOURS = 5
CLUSTERS = 10          # of rows that samples may reach
FAIR = 0.2             # of its fair share of the samples a cluster must get to count as reached
ITERATIONS = 20


def radii(rows: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """The distance (n,) of each row (n, d) to the so many-th nearest of the others, or to the farthest where there are fewer."""
    k = min(neighbours, len(rows) - 1)
    return torch.cdist(rows, rows).kthvalue(k + 1, dim=1).values


def covered(rows: Tensor, samples: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Whether some sample (m, d) is at least as near to each row (n, d) as its so many-th neighbour among the rows: (n,)."""
    return torch.cdist(rows, samples).amin(1) <= radii(rows, neighbours)


def faithful(rows: Tensor, samples: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Whether each sample (m, d) is within the so many-th neighbour of some row (n, d): (m,)."""
    return (torch.cdist(samples, rows) <= radii(rows, neighbours)).any(1)


def centres_of(rows: Tensor, count: int = CLUSTERS) -> Tensor:
    """The centres (count, d) of clusters of rows (n, d): k-means from rows as far from one another as may be."""
    from scipy.cluster.vq import kmeans2

    chosen = [(rows - rows.mean(0)).square().sum(1).argmax()]
    for _ in range(1, min(count, len(rows))):
        chosen.append(torch.cdist(rows, rows[torch.stack(chosen)]).amin(1).argmax())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")    # of rows that repeat; its centre stays where it is
        centres, _ = kmeans2(rows.numpy(), rows[torch.stack(chosen)].numpy(), iter=ITERATIONS, minit="matrix")
    return torch.from_numpy(centres).to(rows.dtype)


def reached(centres: Tensor, rows: Tensor, samples: Tensor, fair: float = FAIR) -> Tensor:
    """Whether each cluster (k, d) gets at least so much of the share of the samples (m, d) that it has of the rows (n, d): (k,)."""
    shares = [torch.bincount(torch.cdist(points, centres).argmin(1), minlength=len(centres)) / len(points) for points in (rows, samples)]
    return shares[1] >= fair * shares[0]


def beside_centres(centres: Tensor, rows: Tensor, samples: Tensor) -> float:
    """The mean distance of samples from the nearest centre, by that of rows: about 1 where samples look like rows, cluster by cluster."""
    near = [float(torch.cdist(points, centres).amin(1).mean()) for points in (rows, samples)]
    return near[1] / max(near[0], 1e-12)


def frechet(first: Tensor, second: Tensor) -> float:
    """The squared Frechet distance between Gaussians fitted to two sets of features, (n, d) and (m, d): Heusel et al. (2017)."""
    a, b = first.double(), second.double()
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), torch.atleast_2d(torch.cov(x.T))) for x in (a, b))
    values, axes = torch.linalg.eigh(cov_a)
    root = axes @ (values.clamp(min=0).sqrt()[:, None] * axes.T)
    crossed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * crossed))
