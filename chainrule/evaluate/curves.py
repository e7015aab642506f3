"""Every operating point of a two-class scorer: the ROC and precision-recall curves, and moving along them.

Fawcett (2006), https://doi.org/10.1016/j.patrec.2005.10.010; average precision without interpolation, as scikit-learn has it
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.evaluate.intervals import Interval, wilson


@dataclass(frozen=True)
class OperatingPoint:
    """What calling every score >= `threshold` positive does; `tpr` and `fpr` are shares with their intervals."""

    threshold: float
    tp: int
    fp: int
    tn: int
    fn: int
    tpr: float
    fpr: float
    tpr_interval: Interval
    fpr_interval: Interval


@dataclass(frozen=True)
class OperatingPoints:
    """All points, from the strictest threshold (infinity, nothing is positive) to the laxest; tensors (points,)."""

    thresholds: Tensor
    tp: Tensor
    fp: Tensor
    positives: int
    negatives: int

    @property
    def tpr(self) -> Tensor:
        """The share of positives that are found (recall, sensitivity)."""
        return self.tp / self.positives

    @property
    def fpr(self) -> Tensor:
        """The share of negatives taken for positive (1 - specificity)."""
        return self.fp / self.negatives

    @property
    def auc(self) -> float:
        """The area under the ROC curve: the chance that a positive scores above a negative, ties counting half."""
        return float(torch.trapezoid(self.tpr, self.fpr))

    @property
    def average_precision(self) -> float:
        """The mean of precision over the positives, each at its own threshold."""
        precision, recall = precision_recall(self)
        return float((recall.diff() * precision[1:]).sum())


def operating_points(scores: Tensor, y: Tensor) -> OperatingPoints:
    """The points of scores (n,) for labels (n,) of 0 or 1 (or booleans), one for each distinct score.

    >>> points = operating_points(torch.tensor([0.9, 0.8, 0.3, 0.1]), torch.tensor([1, 0, 1, 0]))
    >>> points.auc
    0.75
    """
    scores, positive = scores.detach().cpu().double().flatten(), y.detach().cpu().flatten() > 0
    if len(scores) != len(positive) or not bool(scores.isfinite().all()):
        raise InputError(f"A ROC curve needs one finite score for each case; got {len(scores)} scores for {len(positive)} cases. "
                         "Look for NaN in the outputs.")
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        raise InputError(f"A ROC curve needs cases of both classes; got {positives} positive and {negatives} negative. "
                         "Give a larger test set.")
    order = scores.argsort(descending=True, stable=True)
    scores, hit = scores[order], positive[order].double()
    last = torch.cat([scores.diff() != 0, torch.tensor([True])]).nonzero().squeeze(1)  # the end of each run of equal scores
    zero = torch.zeros(1, dtype=torch.float64)
    tp, fp = hit.cumsum(0)[last], (1 - hit).cumsum(0)[last]
    thresholds = torch.cat([torch.full((1,), float("inf"), dtype=torch.float64), scores[last]])
    return OperatingPoints(thresholds, torch.cat([zero, tp]), torch.cat([zero, fp]), positives, negatives)


def precision_recall(points: OperatingPoints) -> tuple[Tensor, Tensor]:
    """Precision and recall (points,); where nothing is called positive, precision counts as 1."""
    called = points.tp + points.fp
    return torch.where(called > 0, points.tp / called.clamp(min=1), torch.ones_like(called)), points.tpr


def at_threshold(points: OperatingPoints, threshold: float, level: float = 0.95) -> OperatingPoint:
    """What happens when every score >= `threshold` is called positive."""
    return _point(points, int((points.thresholds >= threshold).sum()) - 1, threshold, level)


def move_operating_point(points: OperatingPoints, *, fpr: float | None = None, tpr: float | None = None,
                         level: float = 0.95) -> OperatingPoint:
    """The point that finds most positives at a false-positive rate of at most `fpr`, or that has fewest false positives at
    a true-positive rate of at least `tpr`. Choose it on validation data: on test data it flatters.
    """
    rate = fpr if fpr is not None else tpr
    if (fpr is None) == (tpr is None) or rate is None or not 0 <= rate <= 1:
        raise InputError(f"Moving the operating point needs either fpr or tpr, in [0, 1]; got fpr = {fpr}, tpr = {tpr}. "
                         "Write fpr=0.01 for at most 1 % false positives.")
    if fpr is not None:
        best = points.tp[points.fpr <= fpr].max()
        i = int((points.tp >= best).nonzero()[0])                        # the strictest threshold that finds as many
    else:
        i = int((points.tpr >= rate).nonzero()[0])
    return _point(points, i, float(points.thresholds[i]), level)


def _point(points: OperatingPoints, i: int, threshold: float, level: float) -> OperatingPoint:
    tp, fp = int(points.tp[i]), int(points.fp[i])
    fn, tn = points.positives - tp, points.negatives - fp
    return OperatingPoint(threshold, tp, fp, tn, fn, tp / points.positives, fp / points.negatives,
                          wilson(tp, points.positives, level), wilson(fp, points.negatives, level))
