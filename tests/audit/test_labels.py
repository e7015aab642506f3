"""Confident learning by its definition written out as loops, and by nets whose errors are planted; outliers against planted ones."""

import itertools

import pytest
import torch
from scipy.stats import poisson

from chainrule.audit.labels import contradiction, mislabelled, outliers
from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import temperature


def noisy(n=3000, c=3, seed=0):
    """True classes, labels of which some were moved to the next class, and calibrated probabilities of the true class."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.arange(n) % c
    labels = truth.clone()
    moved = torch.rand(n, generator=g) < 0.1
    labels[moved] = (truth[moved] + 1) % c
    p = torch.rand(n, c, generator=g) * 0.3
    p[torch.arange(n), truth] += 1.0
    return truth, labels, p / p.sum(1, keepdim=True)


def test_joint_and_thresholds_by_loops():
    """Second derivation: equations 1 and 2 of the paper, a row at a time."""
    g = torch.Generator().manual_seed(1)
    labels = torch.arange(60) % 4
    p = (torch.rand(60, 4, generator=g) + torch.tensor([1.0, 0, 0, 0])).softmax(1)     # of the first class they are too sure
    found = mislabelled(p, labels)
    t = [sum(float(p[i, j]) for i in range(60) if labels[i] == j) / 15 for j in range(4)]
    assert found.thresholds.tolist() == pytest.approx(t, rel=1e-6)
    counts = [[0] * 4 for _ in range(4)]
    for i in range(60):
        able = [j for j in range(4) if float(p[i, j]) >= t[j]]
        if able:
            counts[int(labels[i])][max(able, key=lambda j: float(p[i, j]))] += 1
    for i, j in itertools.product(range(4), range(4)):
        assert float(found.joint[i, j]) == pytest.approx(counts[i][j] * 15 / sum(counts[i]))
    assert found.joint.sum(1).tolist() == pytest.approx([15.0] * 4)                   # calibrated: rows keep their sizes


def test_planted_errors_are_found_counted_and_named():
    truth, labels, p = noisy()
    found = mislabelled(p, labels)
    planted = labels != truth
    assert abs(found.estimated - int(planted.sum())) <= 3
    assert bool(planted[found.rows].all())
    assert torch.equal(found.suggested, truth[found.rows])
    assert torch.equal(found.labels, labels[found.rows])
    assert bool((found.margin[:-1] >= found.margin[1:]).all())


def test_nothing_is_suspected_where_nothing_is_wrong():
    truth, _, p = noisy()
    found = mislabelled(p, truth)
    assert len(found.rows) == 0
    assert found.estimated == 0


@pytest.mark.parametrize("hot", [0.5, 1.0, 2.0])
def test_labels_drawn_from_the_probabilities_contradict_them_no_more_than_they_must(hot):
    """Whether nets are too sure or not sure enough: hardly one p of 100 worlds is below .01; with 3 % moved all are."""
    g, low, moved_low = torch.Generator().manual_seed(0), 0, 0
    for _ in range(100):
        z = 3 * torch.randn(600, 3, generator=g, dtype=torch.float64)
        labels = torch.multinomial(z.softmax(1), 1, generator=g).squeeze(1)
        low += contradiction((z * hot).softmax(1), labels).p < 0.01
        moved = torch.where(torch.rand(600, generator=g) < 0.03, (z.argmax(1) + 1) % 3, z.argmax(1))
        moved_low += contradiction((z * hot).softmax(1), moved).p < 0.01
    assert low <= 4
    assert moved_low >= 95


def test_contradictions_are_counted_and_expected_by_loops():
    g = torch.Generator().manual_seed(3)
    z = 2 * torch.randn(80, 3, generator=g, dtype=torch.float64)
    labels = torch.multinomial(z.softmax(1), 1, generator=g).squeeze(1)
    found = contradiction(z.softmax(1), labels)
    p = (z / temperature(z, labels)).softmax(1)
    seen = sum(float(p[i, labels[i]]) <= found.odds * float(p[i].max()) for i in range(80))
    expected = sum(float(p[i, j]) for i in range(80) for j in range(3) if float(p[i, j]) <= found.odds * float(p[i].max()))
    assert (found.seen, found.expected) == (seen, pytest.approx(expected))
    assert found.p == pytest.approx(min(1.0, 4 * float(poisson.sf(seen - 1, expected))))


@pytest.mark.parametrize(("p", "y", "word"), [
    (torch.rand(4, 3), torch.zeros(5, dtype=torch.long), "probabilities"), (torch.rand(4, 3), torch.tensor([0, 1, 0, 1]), "has none")])
def test_wrong_use(p, y, word):
    with pytest.raises(InputError, match=word):
        mislabelled(p, y)


def planted(n, d, k, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    x[:k] += 15 * torch.sign(torch.randn(k, d, generator=g))
    return x


def test_robust_distance_finds_outliers_that_hide_each_other():
    """A tenth of the rows on one side inflate the plain covariance; its distances then miss them: the robust ones do not."""
    x = planted(300, 3, 0)
    x[:30] = 8 + 0.1 * x[:30]
    found = outliers(x)
    assert found.how.startswith("robust")
    assert set(range(30)) <= set(found.rows.tolist())
    assert found.share < 0.13
    plain = (x - x.mean(0)) @ torch.linalg.inv(x.T.cov()) * (x - x.mean(0))
    assert bool((plain.sum(1)[:30].sqrt() < found.threshold).all())


def test_gaussian_rows_are_left_alone_and_the_distance_is_mahalanobis():
    """Oracle: the true covariance is known here, so distances must be near sqrt(x' S^-1 x)."""
    g = torch.Generator().manual_seed(3)
    mix = torch.tensor([[2.0, 0.0], [1.5, 0.5]])
    x = torch.randn(2000, 2, generator=g) @ mix.T
    found = outliers(x)
    assert found.share < 0.004
    true = ((x @ torch.linalg.inv(mix @ mix.T)) * x).sum(1).sqrt()
    torch.testing.assert_close(found.distance.float(), true, rtol=0.12, atol=0.12)
    assert found.threshold == pytest.approx((-2 * torch.log(torch.tensor(0.001))).sqrt().item(), rel=1e-5)   # chi2 of 2: -2 log p


def test_neighbours_where_columns_are_yes_and_no():
    x = torch.cat([(torch.arange(200) % 2)[:, None].float(), planted(200, 2, 4)], 1)
    found = outliers(x)
    assert found.how == "distance to the fifth neighbour"
    assert set(found.rows.tolist()) >= set(range(4))
    assert found.share < 0.05


def test_constant_rows_have_no_outliers():
    assert len(outliers(torch.ones(50, 3)).rows) == 0
