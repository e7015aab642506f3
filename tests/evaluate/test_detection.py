"""Boxes judged: suppression and matching against loops over pairs, average precision against published and enumerated examples."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from chainrule.core.boxes import intersection_over_union
from chainrule.core.errors import InputError
from chainrule.evaluate.detection import average_precision, detection, matched, quick, statistics, suppressed

# Padilla, Netto & da Silva (2020), https://doi.org/10.1109/IWSSIP48289.2020.9145130: 24 answers by confidence, 15 true boxes, 24.56 %
PADILLA = [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def some_boxes(n, k, seed):
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, k, 2, generator=random) * 10
    return torch.cat([corner, corner + 1 + torch.rand(n, k, 2, generator=random) * 6], 2), random


def some_answers(n=30, seed=0):
    """True boxes of two classes, up to three a picture, and answers that are near some of them, the surest first."""
    corners, random = some_boxes(n, 3, seed)
    labels = torch.randint(-1, 2, (n, 3), generator=random).float()
    truth = torch.cat([corners, labels[..., None]], 2)
    near = corners + torch.randn(n, 3, 4, generator=random) * 0.7
    far, _ = some_boxes(n, 2, seed + 100)
    boxes = torch.cat([near, far], 1)
    classes = torch.randint(0, 2, (n, 5), generator=random).float()
    classes[:, :3] = torch.where(torch.rand(n, 3, generator=random) < 0.8, labels.clamp(min=0), classes[:, :3])
    confidences = torch.rand(n, 5, generator=random).sort(1, descending=True).values
    return torch.cat([boxes, classes[..., None], confidences[..., None]], 2), truth


def test_suppression_keeps_what_a_loop_over_pairs_keeps():
    corners, random = some_boxes(6, 25, 0)
    confidences, labels = torch.rand(6, 25, generator=random), torch.randint(0, 2, (6, 25), generator=random)
    confidences[0] = 0
    left = suppressed(corners, confidences, labels, 25, 0.3)
    for at in range(6):
        kept = []
        for i in confidences[at].argsort(descending=True).tolist():
            near = [j for j in kept if labels[at, i] == labels[at, j]]
            clear = all(float(intersection_over_union(corners[at, i], corners[at, j])) <= 0.3 for j in near)
            if float(confidences[at, i]) > 0 and clear:
                kept.append(i)
        own = left[at][left[at, :, 5] > 0]
        torch.testing.assert_close(own[:, :4], corners[at, kept])
        assert own[:, 4].tolist() == labels[at, kept].tolist()
        assert own[:, 5].tolist() == confidences[at, kept].tolist()
        assert (left[at, len(kept) :, 4] == -1).all()
    assert suppressed(corners, confidences, labels, 3, 0.3).shape == (6, 3, 6)
    assert suppressed(corners, torch.zeros(6, 25), labels, 3).tolist() == [[[0, 0, 0, 0, -1, 0]]] * 6


def test_answers_are_matched_as_by_a_loop_over_pairs():
    answer, truth = some_answers()
    found = matched(answer, truth)
    for at in range(len(answer)):
        taken, claimed = set(), set()
        for number, (*edges, label, confidence) in enumerate(answer[at].tolist()):
            shares = {k: float(intersection_over_union(torch.tensor(edges), truth[at, k, :4])) for k in range(3)
                      if float(truth[at, k, 4]) == label}
            best = max(shares, key=shares.get, default=None)
            right = best is not None and shares[best] >= 0.5 and best not in taken
            taken |= {best} if right else set()
            claimed |= {best} if right and confidence >= 0.5 else set()
            assert bool(found.right[at, number]) == right
        assert set(found.claimed[at].nonzero().flatten().tolist()) == claimed
        for k in range(3):
            sure = [a for a in answer[at] if float(a[5]) >= 0.5 and a[4] == truth[at, k, 4]]
            most = max((float(intersection_over_union(a[:4], truth[at, k, :4])) for a in sure), default=0.0)
            assert float(found.overlap[at, k]) == pytest.approx(most)


def test_the_published_example_of_average_precision():
    right = torch.tensor(PADILLA, dtype=torch.float64)
    value = average_precision(right, torch.ones(24, 1, dtype=torch.float64), torch.tensor([15.0], dtype=torch.float64))
    assert float(value) == pytest.approx(0.2456, abs=1e-4)


def test_average_precision_is_the_area_under_the_attainable_precision_enumerated():
    random = torch.Generator().manual_seed(0)
    right = (torch.rand(40, generator=random) < 0.5).double()
    hits, points = 0, []
    for rank, one in enumerate(right.tolist(), 1):
        hits += one
        points.append((hits / 25, hits / rank))
    area = sum((points[i][0] - (points[i - 1][0] if i else 0)) * max(p for _, p in points[i:]) for i in range(40))
    value = average_precision(right, torch.ones(40, 1, dtype=torch.float64), torch.tensor([25.0], dtype=torch.float64))
    assert float(value) == pytest.approx(area)
    falling = torch.cat([torch.ones(6), torch.zeros(5)]).double()         # where precision only falls nothing is to be attained later
    plain = average_precision_score(falling, torch.arange(11, 0, -1))
    assert float(average_precision(falling, torch.ones(11, 1).double(), torch.tensor([6.0]).double())) == pytest.approx(plain)


def test_a_picture_that_counts_twice_is_two_pictures():
    answer, truth = some_answers(12)
    twice = quick(torch.cat([answer, answer[:4]]), torch.cat([truth, truth[:4]]), 2)
    counts = torch.ones(12, 1, dtype=torch.float64)
    counts[:4] = 2
    for name, value in statistics(answer, truth, 2).items():
        if "[" not in name and name != "average_precision":
            assert float(value(counts)) == pytest.approx(twice[name]), name
    assert set(twice) == {"iou", "precision", "recall", "average_precision"}


def test_measures_by_hand():
    """Two pictures: one box found exactly, one missed, one answered where there is none."""
    truth = torch.tensor([[[0, 0, 4, 4, 0], [5, 5, 9, 9, 1]], [[1, 1, 3, 5, 1], [0, 0, 0, 0, -1]]]).float()
    answer = torch.tensor([[[0, 0, 4, 4, 0, 0.9], [6, 0, 9, 3, 0, 0.6]], [[1, 1, 3, 4, 1, 0.8], [0, 0, 0, 0, -1, 0]]])
    result = detection(answer, truth, ("cat", "dog"))
    values = {name: m.value for name, m in result.measures.items()}
    assert values["iou"] == pytest.approx((1 + 0 + 6 / 8) / 3)
    assert (values["precision"], values["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (values["average_precision[cat]"], values["average_precision[dog]"]) == (1, pytest.approx(0.5))
    assert values["average_precision"] == pytest.approx(0.75)
    assert result.targets == ("cat", "dog")


def test_a_box_is_found_once():
    """Of two answers at one box the surer one is right and the other false, whatever it shares."""
    truth = torch.tensor([[[0, 0, 4, 4, 0], [9, 9, 12, 12, 0]]]).float()
    answer = torch.tensor([[[0, 0, 4, 3, 0, 0.9], [0, 0, 4, 4, 0, 0.8], [9, 9, 12, 12, 0, 0.7]]])
    found = matched(answer, truth)
    assert found.right.tolist() == [[True, False, True]]
    assert found.claimed.tolist() == [[True, True]]
    assert found.overlap.tolist() == [[1, 1]]
    assert quick(answer, truth, 1)["precision"] == pytest.approx(2 / 3)


def test_intervals_are_as_wide_as_the_bootstrap_over_pictures():
    answer, truth = some_answers(150)
    result = detection(answer, truth, ("a", "b"))
    random = torch.Generator().manual_seed(1)
    drawn = [quick(answer[rows], truth[rows], 2) for rows in torch.randint(150, (400, 150), generator=random)]
    for name in ("iou", "precision", "average_precision"):
        values = torch.tensor([one[name] for one in drawn], dtype=torch.float64)
        low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        assert result.measures[name].high - result.measures[name].low == pytest.approx(high - low, rel=0.2), name


def test_nothing_answered_and_nothing_to_be_found():
    _, truth = some_answers(4)
    nothing = torch.tensor([0.0, 0, 0, 0, -1, 0]).expand(4, 1, 6)
    result = detection(nothing, truth, ("a", "b"))
    assert result.measures["iou"].value == result.measures["average_precision"].value == 0
    assert result.measures["precision"].value == 0
    assert "precision counts 0" in result.notes[0]
    with pytest.raises(InputError, match="at least one true box"):
        detection(nothing, torch.full((4, 2, 5), -1.0), ("a", "b"))
