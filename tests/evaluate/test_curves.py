"""ROC and precision-recall curves against scikit-learn and against counting."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from chainrule.core.errors import InputError
from chainrule.evaluate.curves import at_threshold, move_operating_point, operating_points, precision_recall


def scored(n=200, digits=1):
    g = torch.Generator().manual_seed(0)
    y = torch.rand(n, generator=g) < 0.3
    return (torch.randn(n, generator=g) + y).mul(10**digits).round() / 10**digits, y


def test_curves_agree_with_scikit_learn():
    s, y = scored()
    points = operating_points(s, y)
    fpr, tpr, thresholds = metrics.roc_curve(y, s, drop_intermediate=False)
    np.testing.assert_allclose(points.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(points.tpr, tpr, atol=1e-12)
    np.testing.assert_allclose(points.thresholds, thresholds, atol=1e-6)
    assert points.auc == pytest.approx(metrics.roc_auc_score(y, s), abs=1e-12)
    assert points.average_precision == pytest.approx(metrics.average_precision_score(y, s), abs=1e-12)
    precision, recall, _ = metrics.precision_recall_curve(y, s)          # the other way round
    ours = precision_recall(points)
    np.testing.assert_allclose(ours[0].flip(0), precision, atol=1e-12)
    np.testing.assert_allclose(ours[1].flip(0), recall, atol=1e-12)


@pytest.mark.parametrize("threshold", [-100.0, -0.5, 0.0, 0.333, 0.7, 100.0])
def test_at_a_threshold_everything_is_counted(threshold):
    s, y = scored()
    point = at_threshold(operating_points(s, y), threshold)
    called = s.double() >= threshold
    counts = [int(v.sum()) for v in (called & y, called & ~y, ~called & ~y, ~called & y)]
    assert [point.tp, point.fp, point.tn, point.fn] == counts
    assert point.tpr == counts[0] / int(y.sum())
    assert point.tpr_interval.low <= point.tpr <= point.tpr_interval.high


@pytest.mark.parametrize("bound", [0.0, 0.05, 0.2, 0.9, 1.0])
def test_moving_the_operating_point_is_the_best_of_all_thresholds(bound):
    """Second derivation: try every threshold."""
    s, y = scored()
    points = operating_points(s, y)
    every = [at_threshold(points, t) for t in points.thresholds.tolist()]
    most = max(p.tp for p in every if p.fpr <= bound)
    moved = move_operating_point(points, fpr=bound)
    assert (moved.tp, moved.fp) == (most, min(p.fp for p in every if p.tp == most))
    fewest = min(p.fp for p in every if p.tpr >= bound)
    moved = move_operating_point(points, tpr=bound)
    assert moved.tpr >= bound
    assert moved.fp == fewest


def test_two_cases_make_a_curve_and_one_class_does_not():
    points = operating_points(torch.tensor([0.1, 0.9]), torch.tensor([0, 1]))
    assert (points.auc, points.average_precision) == (1.0, 1.0)
    with pytest.raises(InputError, match="0 positive and 2 negative"):
        operating_points(torch.rand(2), torch.zeros(2))
    with pytest.raises(InputError, match="finite score"):
        operating_points(torch.tensor([float("nan"), 1.0]), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="either fpr or tpr"):
        move_operating_point(points, fpr=0.1, tpr=0.9)
