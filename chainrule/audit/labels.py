"""Rows that look wrong: labels that nets trained without them contradict, and inputs that lie apart from all others.

Northcutt, Jiang & Chuang (2021), https://doi.org/10.1613/jair.1.12125 (confident learning, arXiv 1911.00068);
Rousseeuw & Van Driessen (1999), https://doi.org/10.1080/00401706.1999.10485670 (robust distances);
Ramaswamy, Rastogi & Shim (2000), https://doi.org/10.1145/335191.335437 (distance to neighbours); that errors of labels show as
contradictions of probabilities that fit the labels as a whole: Guo, Pleiss, Sun & Weinberger (2017), https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import temperature

ODDS = (0.1, 0.05, 0.02, 0.01)   # of a label against the likeliest class, at which contradictions are counted
NEIGHBOURS = 5
ROBUST_INPUTS = 30    # the robust covariance of more columns needs more rows than most tables have
ROWS_PER_INPUT = 10   # what it needs for each
GAUSSIAN_SHARE = 0.001
FAR = 6.0             # robust standard deviations of the logarithm of a distance


@dataclass(frozen=True)
class Suspects:
    """`rows` (k,) whose label is probably wrong, the surest first, with what its `labels` are and are `suggested` to be, and `margin`.

    `joint` (c, c) estimates how many rows of class i as labelled (rows) are of class j in truth (columns); `thresholds` (c,) are the mean
    confidences above which a class was counted.
    """

    rows: Tensor
    labels: Tensor
    suggested: Tensor
    margin: Tensor
    joint: Tensor
    thresholds: Tensor

    @property
    def estimated(self) -> float:
        """How many labels are wrong, by the calibrated joint."""
        return float(self.joint.sum() - self.joint.diagonal().sum())


def mislabelled(probabilities: Tensor, labels: Tensor) -> Suspects:
    """Confident learning: `probabilities` (n, c) must come from nets that did not train on the row; `labels` (n,) are class numbers.

    A row counts as class j where its probability is at least the mean one of the rows labelled j, the most probable of these classes
    deciding; scaled to the sizes of the classes, these counts estimate how many labels are wrong. So many rows are suspected, those whose
    likeliest class is most more probable than their label. Raises InputError where shapes do not fit or a class has no row.
    """
    if probabilities.dim() != 2 or labels.shape != probabilities.shape[:1]:
        raise InputError(f"expected probabilities (n, classes) and labels (n,); got {tuple(probabilities.shape)} and "
                         f"{tuple(labels.shape)}. Give one row of probabilities for each label.")
    p = probabilities.double()
    c = p.shape[1]
    counts = torch.bincount(labels, minlength=c)                              # (c,)
    if bool((counts == 0).any()):
        raise InputError(f"expected at least one row of each of the {c} classes; class number {int(counts.argmin())} has none. "
                         "Give more rows, or drop the class.")
    own = p.gather(1, labels[:, None]).squeeze(1)                             # (n,)
    thresholds = torch.zeros(c, dtype=torch.float64).index_add_(0, labels, own) / counts
    confident = p >= thresholds                                              # (n, c)
    likeliest = torch.where(confident, p, -1.0).argmax(1)                     # (n,)
    counted = confident.any(1)
    joint = torch.zeros(c, c, dtype=torch.float64).index_put_((labels[counted], likeliest[counted]), torch.ones((), dtype=torch.float64),
                                                              accumulate=True)
    empty = joint.sum(1) == 0
    joint[empty, empty] = 1.0                                                # nothing is known against these labels
    joint *= (counts / joint.sum(1))[:, None]
    best, suggested = p.max(1)                                               # (n,)
    margin = best - own
    wrong = round(float(joint.sum() - joint.diagonal().sum()))
    rows = margin.argsort(descending=True, stable=True)[: min(wrong, int((margin > 0).sum()))]
    return Suspects(rows, labels[rows], suggested[rows], margin[rows], joint, thresholds)


@dataclass(frozen=True)
class Contradiction:
    """So many labels `seen` at `odds` or worse against the likeliest class, and `expected`, were they drawn from the probabilities.

    `p` is the probability of as many, the most surprising of several odds being chosen, and corrected for that.
    """

    odds: float
    seen: int
    expected: float
    p: float


def contradiction(probabilities: Tensor, labels: Tensor) -> Contradiction:
    """Whether labels (n,) contradict probabilities (n, c) of nets that did not train on them more than uncertain classes must.

    Where classes overlap, labels differ from the likeliest class as often as the probabilities say, and none need be wrong. So the
    probabilities are first brought to the temperature that fits these labels best; labels moved at random are then still too many among
    the least likely ones. The number is compared with a Poisson number, whose tail is the heavier.
    """
    from scipy.special import pdtrc

    logits = probabilities.double().clamp_min(1e-12).log()
    p = (logits / temperature(logits, labels)).softmax(1)                    # (n, c)
    own, best = p.gather(1, labels[:, None]).squeeze(1), p.amax(1)
    every = []
    for odds in ODDS:
        seen, expected = int((own <= odds * best).sum()), float(p[p <= odds * best[:, None]].sum())
        every.append(Contradiction(odds, seen, expected, min(1.0, len(ODDS) * float(pdtrc(seen - 1, expected))) if seen else 1.0))
    return min(every, key=lambda c: c.p)


@dataclass(frozen=True)
class Outliers:
    """`rows` (k,) beyond `threshold`, the farthest first; `distance` (n,) of every row; `how` and `reason` in words."""

    rows: Tensor
    distance: Tensor
    threshold: float
    how: str
    reason: str

    @property
    def share(self) -> float:
        return len(self.rows) / max(len(self.distance), 1)


def outliers(x: Tensor, *, seed: int = 0) -> Outliers:
    """Rows (n, d) of numbers that lie apart.

    Where there are rows enough, by the Mahalanobis distance from a robust centre and covariance, beyond what one in a thousand Gaussian
    rows has; else by the distance to the fifth neighbour, beyond six robust standard deviations of its logarithm.
    """
    rows = x.double()
    n, d = rows.shape
    varied = rows[:, rows.std(0) > 0] if n > 1 else rows[:, :0]
    if varied.shape[1] == 0:
        return Outliers(torch.empty(0, dtype=torch.int64), torch.zeros(n), math.inf, "none", "no column varies")
    robust = _robust(varied, seed) if continuous(varied) and n >= ROWS_PER_INPUT * d and d <= ROBUST_INPUTS else None
    if robust is not None:
        return robust
    return _apart(varied)


def continuous(x: Tensor) -> bool:
    """Whether no column (n, d) takes half its rows from one value, as yes/no columns and categories do: their covariance would vanish."""
    most = max(int(column.unique(return_counts=True)[1].max()) for column in x.unbind(1))
    return most * 2 < len(x)


def _robust(x: Tensor, seed: int) -> Outliers | None:
    from scipy.stats import chi2
    from sklearn.covariance import MinCovDet

    if int(torch.linalg.matrix_rank(x - x.mean(0))) < x.shape[1]:
        return None
    fitted = MinCovDet(random_state=seed).fit(x.numpy())
    distance = torch.from_numpy(fitted.mahalanobis(x.numpy())).sqrt()          # (n,)
    threshold = math.sqrt(float(chi2.ppf(1 - GAUSSIAN_SHARE, x.shape[1])))
    return Outliers(_beyond(distance, threshold), distance, threshold, "robust Mahalanobis distance",
                    f"beyond it lies {GAUSSIAN_SHARE:.1%} of Gaussian rows")


def _apart(x: Tensor) -> Outliers:
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(x) - 1)
    distance = torch.from_numpy(NearestNeighbors(n_neighbors=k).fit(x.numpy()).kneighbors()[0][:, -1]).double()   # (n,)
    logs = distance.clamp_min(1e-300).log()[distance > 0]
    how = f"distance to the {_ordinal(k)} neighbour"
    if len(logs) < 2:
        return Outliers(torch.empty(0, dtype=torch.int64), distance, math.inf, how, "all rows coincide")
    middle = logs.median()
    spread = 1.4826 * (logs - middle).abs().median()
    threshold = float((middle + FAR * spread.clamp_min(0.05)).exp())
    return Outliers(_beyond(distance, threshold), distance, threshold, how,
                    f"{FAR:g} robust standard deviations of its logarithm above the median of {float(middle.exp()):.3g}")


def _beyond(distance: Tensor, threshold: float) -> Tensor:
    order = distance.argsort(descending=True, stable=True)
    return order[: int((distance > threshold).sum())]


def _ordinal(k: int) -> str:
    return {1: "nearest", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}[k]
