"""Losses: each against the sentence that defines it, torch or scikit-learn; each link against what it is meant to turn outputs into."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chainrule.core.losses import Loss, absolute, cross_entropy, custom, hinge, losses, perceptron, shares, squared

torch.manual_seed(0)
OUT, CLASSES = torch.randn(50, 4, dtype=torch.float64), torch.randint(4, (50,))
ONE, SIGNS = torch.randn(50, 1, dtype=torch.float64), torch.randint(2, (50,)).double() * 2 - 1
REAL = torch.randn(50, 4, dtype=torch.float64)


def test_squared_is_half_the_squared_distance():
    torch.testing.assert_close(squared().each(OUT, REAL), 0.5 * ((OUT - REAL) ** 2).sum(1))
    torch.testing.assert_close(squared().each(OUT, CLASSES), 0.5 * ((OUT - torch.eye(4, dtype=torch.float64)[CLASSES]) ** 2).sum(1))
    torch.testing.assert_close(squared().each(ONE, SIGNS), 0.5 * (ONE[:, 0] - SIGNS) ** 2)


def test_squared_has_the_difference_as_its_slope():
    out = OUT.clone().requires_grad_()
    squared().each(out, REAL).sum().backward()
    torch.testing.assert_close(out.grad, OUT - REAL)


def test_cross_entropy_is_minus_the_log_of_the_right_share():
    torch.testing.assert_close(cross_entropy().each(OUT, CLASSES), -OUT.softmax(1).log()[torch.arange(50), CLASSES])
    from sklearn.metrics import log_loss

    mean = float(cross_entropy().each(OUT, CLASSES).mean())
    assert mean == pytest.approx(log_loss(CLASSES.numpy(), OUT.softmax(1).numpy(), labels=range(4)), rel=1e-9)


def test_smoothing_mixes_in_the_mean_over_all_classes():
    plain, everything = cross_entropy().each(OUT, CLASSES), -OUT.log_softmax(1).mean(1)
    torch.testing.assert_close(cross_entropy(smoothing=0.2).each(OUT, CLASSES), 0.8 * plain + 0.2 * everything)


def test_absolute_is_the_sum_of_differences():
    torch.testing.assert_close(absolute().each(OUT, REAL), (OUT - REAL).abs().sum(1))


def margins(out, classes):
    """By a loop: the right score less the best wrong one."""
    return np.array([float(row[c]) - max(float(v) for j, v in enumerate(row) if j != c) for row, c in zip(out, classes, strict=True)])


def test_perceptron_and_hinge_are_cut_margins():
    for made, edge in ((perceptron(), 0.0), (hinge(), 1.0)):
        signed = np.maximum(0, edge - (SIGNS * ONE[:, 0]).numpy())
        np.testing.assert_allclose(made.each(ONE, SIGNS).numpy(), signed, rtol=1e-12)
        np.testing.assert_allclose(made.each(ONE[:, 0], SIGNS).numpy(), signed, rtol=1e-12)
        np.testing.assert_allclose(made.each(OUT, CLASSES).numpy(), np.maximum(0, edge - margins(OUT, CLASSES)), rtol=1e-12)


def test_the_hinge_is_scikit_learns():
    from sklearn.metrics import hinge_loss

    assert float(hinge().each(ONE, SIGNS).mean()) == pytest.approx(hinge_loss(SIGNS.numpy(), ONE[:, 0].numpy()), rel=1e-12)
    assert float(hinge().each(OUT, CLASSES).mean()) == pytest.approx(hinge_loss(CLASSES.numpy(), OUT.numpy(), labels=range(4)), rel=1e-12)


@pytest.mark.parametrize("name", losses.names())
def test_links_and_targets_are_what_they_say(name):
    made = losses.choose(name).make()
    assert isinstance(made, Loss)
    assert made.name == name
    assert set(made.targets) <= {"class", "sign", "real"}
    linked = made.link(OUT)
    assert linked.shape == OUT.shape
    if made.link is not squared().link:
        torch.testing.assert_close(linked.sum(1), torch.ones(50), rtol=1e-5, atol=1e-6)
        assert torch.equal(linked.argmax(1), OUT.argmax(1))


@pytest.mark.parametrize("name", losses.names())
def test_each_has_the_slope_that_differences_have(name):
    made = losses.choose(name).make()
    y = CLASSES if "class" in made.targets else REAL
    out = OUT.clone().requires_grad_()
    assert made.each(out, y).shape == (50,)
    assert torch.autograd.gradcheck(lambda o: made.each(o, y), out, eps=1e-7, atol=1e-5)


def test_shares_keep_the_order_of_what_is_positive():
    got = shares(torch.tensor([[3.0, 1.0, -2.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.75, 0.25, 0.0], [1 / 3, 1 / 3, 1 / 3]]), rtol=1e-5, atol=1e-6)


def test_a_loss_of_ones_own_may_give_a_value_a_sample_or_a_mean():
    def mean(out, y):
        return F.mse_loss(out, y)

    def values(out, y):
        return (out - y) ** 2

    torch.testing.assert_close(custom(mean, "regression").each(OUT, REAL).mean(), F.mse_loss(OUT, REAL))
    torch.testing.assert_close(custom(values, "regression").each(OUT, REAL), ((OUT - REAL) ** 2).mean(1))
    assert custom(mean, "regression").name == "mean"
    assert custom(torch.nn.CrossEntropyLoss(), "classification").name == "CrossEntropyLoss"
    torch.testing.assert_close(custom(F.cross_entropy, "classification").link(OUT).sum(1), torch.ones(50))
