"""The arithmetic of boosting against scikit-learn, autograd and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

import chainrule as cr
from chainrule.data.prepare import prepare
from chainrule.evaluate.boosting import line_search, negative_gradient, samme_round, start_of
from chainrule.workflows.boosting_data import residual_source


def overlapping(classes, n=300):
    generator = np.random.default_rng(0)
    y = generator.integers(classes, size=n)
    return generator.normal(size=(n, 4)) + 0.7 * np.eye(classes, 4)[y], y


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_and_votes_are_those_of_scikit_learn(classes):
    x, y = overlapping(classes)
    oracle = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1, random_state=0), n_estimators=8, random_state=0).fit(x, y)
    weights = torch.full((len(x),), 1 / len(x), dtype=torch.float64)
    for tree, vote, error in zip(oracle.estimators_, oracle.estimator_weights_, oracle.estimator_errors_, strict=True):
        own = DecisionTreeClassifier(max_depth=1, random_state=tree.random_state).fit(x, y, sample_weight=weights.numpy())
        wrong = torch.from_numpy(own.predict(x) != y)
        found, cast, weights = samme_round(weights, wrong, classes)
        assert (found, cast) == pytest.approx((error, vote))
        assert float(weights.sum()) == pytest.approx(1)


def boosted_votes(classes, rounds=12):
    """Sums of votes (n, classes) after each round of stumps, the targets, and the weighted errors."""
    x, y = overlapping(classes)
    weights, votes, after, errors = torch.full((len(x),), 1 / len(x), dtype=torch.float64), torch.zeros(len(x), classes).double(), [], []
    for _ in range(rounds):
        said = torch.from_numpy(DecisionTreeClassifier(max_depth=1, random_state=0).fit(x, y, sample_weight=weights.numpy()).predict(x))
        error, vote, weights = samme_round(weights, said != torch.from_numpy(y), classes)
        votes = votes + vote * torch.nn.functional.one_hot(said, classes)
        after.append(votes)
        errors.append(error)
    return after, torch.from_numpy(y), errors


def exponential_loss(votes, y, classes):
    """The loss that SAMME lowers: the mean of exp(-y f / classes), y and f coded so that each sums to zero over the classes."""
    f = (classes - 1) * (votes.double() - votes.double().mean(1, keepdim=True))      # (n, classes)
    code = torch.full_like(f, -1 / (classes - 1)).scatter(1, y[:, None], 1.0)
    return float(torch.exp(-(code * f).sum(1) / classes).mean())


@pytest.mark.parametrize("classes", [2, 4])
def test_the_exponential_loss_falls_in_every_round(classes):
    after, y, _ = boosted_votes(classes)
    losses = [1.0, *(exponential_loss(votes, y, classes) for votes in after)]
    assert all(b < a for a, b in pairwise(losses))


def test_with_two_classes_each_round_multiplies_it_by_twice_the_root_of_error_times_rest():
    """Freund & Schapire's theorem: 2 sqrt(e (1 - e)); and it bounds the share of training errors."""
    after, y, errors = boosted_votes(2)
    product = 1.0
    for votes, error in zip(after, errors, strict=True):
        product *= 2 * math.sqrt(error * (1 - error))
        assert exponential_loss(votes, y, 2) == pytest.approx(product)
        assert float((votes.argmax(1) != y).double().mean()) <= product


def test_after_its_round_a_net_is_no_better_than_chance():
    weights = torch.rand(50, dtype=torch.float64)
    wrong = torch.arange(50) % 4 == 0
    _, _, following = samme_round(weights / weights.sum(), wrong, 3)
    assert float(following[wrong].sum()) == pytest.approx(1 - 1 / 3)


def test_a_net_that_is_never_wrong_has_a_vote_that_others_can_outweigh():
    weights = torch.full((10,), 0.1, dtype=torch.float64)
    error, vote, following = samme_round(weights, torch.zeros(10, dtype=torch.bool), 2)
    assert (error, vote) == (0, pytest.approx(math.log(19)))
    torch.testing.assert_close(following, weights)
    assert samme_round(weights, torch.ones(10, dtype=torch.bool), 2)[1] == -math.inf


@pytest.mark.parametrize("kind", ["class", "real"])
def test_the_next_round_fits_the_gradient(kind):
    """Second derivation: autograd of the cross-entropy, and of half the squared distance."""
    torch.manual_seed(0)
    outputs = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randint(3, (9,)) if kind == "class" else torch.randn(9, 3, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(outputs, y, reduction="sum") if kind == "class" else 0.5 * (outputs - y).square().sum()
    (slope,) = torch.autograd.grad(loss, outputs)
    torch.testing.assert_close(negative_gradient(outputs.detach(), y), -slope)


def test_the_step_is_the_best_one():
    torch.manual_seed(0)
    outputs, direction, y = torch.randn(40, 3).double(), torch.randn(40, 3).double(), torch.randn(40, 3).double()
    residual = y - outputs
    best = float((residual * direction).sum() / direction.square().sum())
    assert line_search(outputs, direction * math.copysign(1, best), y) == pytest.approx(abs(best))
    assert line_search(outputs, -direction * math.copysign(1, best), y) == 0
    classes = torch.randint(3, (40,))
    uphill = negative_gradient(outputs, classes) + 0.3 * torch.randn(40, 3).double()
    step = line_search(outputs, uphill, classes)

    def loss(at):
        return float(torch.nn.functional.cross_entropy(outputs + at * uphill, classes))

    assert step > 0
    assert loss(step) < min(loss(0.98 * step), loss(1.02 * step))


def test_the_start_is_the_best_constant():
    y = torch.tensor([0, 0, 0, 1])
    torch.testing.assert_close(start_of(y, 2).softmax(0), torch.tensor([0.75, 0.25], dtype=torch.float64))
    assert float(negative_gradient(start_of(y, 2).expand(4, 2), y).sum(0).abs().max()) < 1e-12


def test_what_a_round_is_given_shows_nothing_of_the_test_part():
    source = cr.load("digits")
    data = prepare(source)
    targets = torch.zeros(len(source), 10)
    targets[data.train.rows] = torch.randn(len(data.train), 10)
    again = prepare(residual_source(source, data, targets, 1))
    for mine, theirs in ((again.train, data.train), (again.valid, data.valid), (again.door, data.door)):
        assert torch.equal(mine.rows, theirs.rows)
    torch.testing.assert_close(again.train.x, data.train.x)
    assert again.outputs == 10
