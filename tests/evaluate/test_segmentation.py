"""Measures of maps: against sets of pixels, a worked example, and the bootstrap over pictures."""

import pytest
import torch
from sklearn.metrics import jaccard_score

from chainrule.core.errors import InputError
from chainrule.evaluate.segmentation import confusions, segmentation, shares


def some_maps(n=60, classes=3, seed=0):
    """Truth and answers, right in about three of four pixels, more so in some pictures than in others."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.randint(classes, (n, 6, 5), generator=random)
    other = torch.randint(classes, (n, 6, 5), generator=random)
    wrong = torch.rand(n, 6, 5, generator=random) < torch.rand(n, 1, 1, generator=random) / 2
    return torch.where(wrong, other, truth), truth


def test_counts_of_each_picture_are_those_of_its_pixels_one_by_one():
    answered, truth = some_maps(7)
    counts = confusions(answered, truth, 3)
    for at in range(7):
        for t in range(3):
            for a in range(3):
                pairs = zip(truth[at].flatten().tolist(), answered[at].flatten().tolist(), strict=True)
                assert int(counts[at, t, a]) == sum(pair == (t, a) for pair in pairs)


def test_the_overlap_of_classes_is_scikit_learn_s():
    answered, truth = some_maps()
    result = segmentation(confusions(answered, truth, 3), ("a", "b", "c"))
    each = jaccard_score(truth.flatten(), answered.flatten(), average=None)
    assert [result.measures[f"iou[{name}]"].value for name in "abc"] == pytest.approx(each.tolist())
    assert result.measures["iou"].value == pytest.approx(each.mean())
    assert result.measures["accuracy"].value == pytest.approx(float((answered == truth).double().mean()))


def test_a_worked_example():
    """Two pixels of four are road; one of them is found, and one that is none is called so: 1 of 3 for each class."""
    truth, answered = torch.tensor([[[1, 1], [0, 0]]]), torch.tensor([[[1, 0], [1, 0]]])
    own, right = shares(confusions(answered, truth, 2).sum(0).double())
    assert own.tolist() == pytest.approx([1 / 3, 1 / 3])
    assert float(right) == 0.5


def test_intervals_are_as_wide_as_the_bootstrap_over_pictures():
    answered, truth = some_maps(120)
    counts = confusions(answered, truth, 3)
    result = segmentation(counts, ("a", "b", "c"))
    random = torch.Generator().manual_seed(1)
    drawn = torch.randint(120, (2000, 120), generator=random)
    values = torch.stack([shares(counts[rows].sum(0).double())[0].mean() for rows in drawn])
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    iou = result.measures["iou"]
    assert iou.high - iou.low == pytest.approx(high - low, rel=0.12)
    assert (iou.low, iou.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_class_that_is_nowhere_counts_nothing_and_one_that_is_only_answered_counts_zero():
    truth, answered = torch.zeros(3, 2, 2, dtype=torch.long), torch.zeros(3, 2, 2, dtype=torch.long)
    result = segmentation(confusions(answered, truth, 3), ("a", "b", "c"))
    assert result.measures["iou"].value == 1
    assert "b, c" in result.notes[0]
    answered[0, 0, 0] = 1
    result = segmentation(confusions(answered, truth, 3), ("a", "b", "c"))
    assert result.measures["iou"].value == pytest.approx((11 / 12 + 0) / 2)
    with pytest.raises(InputError, match="at least one picture"):
        segmentation(torch.zeros(0, 3, 3), ("a", "b", "c"))
