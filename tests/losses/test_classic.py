"""Losses: each against the sentence that defines it, torch or scikit-learn; each link against what it is meant to turn outputs into."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.loss import OwnLoss, shares
from chainrule.core.registry import losses
from chainrule.job.own_loss import custom
from chainrule.losses.classic import (
    absolute,
    contrastive,
    cross_entropy,
    focal,
    hinge,
    huber,
    logistic,
    perceptron,
    squared,
    squared_hinge,
)
from chainrule.tasks.classification import probabilities
from chainrule.workflows.train import train

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


def test_the_squared_hinge_is_the_hinge_squared_and_smooth_at_its_edge():
    """Second derivation: the slope is -2 y (1 - margin) inside, so it is zero where the hinge has its corner."""
    torch.testing.assert_close(squared_hinge().each(OUT, CLASSES), hinge().each(OUT, CLASSES) ** 2)
    out = ONE.clone().requires_grad_()
    squared_hinge().each(out, SIGNS).sum().backward()
    torch.testing.assert_close(out.grad[:, 0], -2 * SIGNS * (1 - SIGNS * ONE[:, 0]).clamp(min=0))
    for made, slope in ((hinge(), 1.0), (squared_hinge(), 2e-6)):
        edge = torch.tensor([[1 - 1e-6]], dtype=torch.float64, requires_grad=True)
        made.each(edge, torch.ones(1, dtype=torch.float64)).backward()
        assert float(edge.grad) == pytest.approx(-slope, rel=1e-6)


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_huber_is_torchs_and_goes_from_half_the_square_to_a_line(delta):
    ours = huber(delta=delta).each(OUT, REAL)
    torch.testing.assert_close(ours, F.huber_loss(OUT, REAL, reduction="none", delta=delta).sum(1))
    zero = torch.zeros(2, 1, dtype=torch.float64)
    off = torch.tensor([[delta / 2], [3 * delta]], dtype=torch.float64)
    assert huber(delta=delta).each(zero, off).tolist() == pytest.approx([delta**2 / 8, delta * (3 * delta - delta / 2)])
    torch.testing.assert_close(huber(delta=1e6).each(OUT, REAL), squared().each(OUT, REAL))
    torch.testing.assert_close(huber(delta=1e-9).each(OUT, REAL) / 1e-9, absolute().each(OUT, REAL))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_weighs_cross_entropy_by_what_is_left(gamma):
    p = OUT.softmax(1)[torch.arange(50), CLASSES]
    torch.testing.assert_close(focal(gamma=gamma).each(OUT, CLASSES), (1 - p) ** gamma * cross_entropy().each(OUT, CLASSES))


def test_focal_of_equal_shares_and_of_a_certain_answer():
    """Two classes alike: -(1/2)^2 log(1/2). A right answer without doubt costs nothing and has a slope of nothing, in single precision."""
    even = focal().each(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]))
    assert float(even) == pytest.approx(0.25 * math.log(2))
    for gamma in (0.5, 1.0, 2.0):
        sure = torch.tensor([[200.0, 0.0]], requires_grad=True)
        value = focal(gamma=gamma).each(sure, torch.tensor([0]))
        value.backward()
        assert float(value.detach()) == 0
        assert sure.grad.tolist() == [[0, 0]]


def test_contrastive_is_hadsells_by_a_loop():
    for margin in (1.0, 2.5):
        expected = []
        for i in range(50):
            j = (i + 1) % 50
            distance = math.dist(OUT[i].tolist(), OUT[j].tolist())
            expected.append(distance**2 / 2 if CLASSES[i] == CLASSES[j] else max(0.0, margin - distance) ** 2 / 2)
        np.testing.assert_allclose(contrastive(margin=margin).each(OUT, CLASSES).numpy(), expected, rtol=1e-12)


def test_contrastive_in_numbers_and_with_two_samples_in_one_place():
    """Places 0, 3, 3, 3.5 of classes 0 0 1 1: 9/2 together; (1 - 0)^2/2 in one place; 1/8 together; far apart, nothing."""
    places = torch.tensor([[0.0], [3.0], [3.0], [3.5]], dtype=torch.float64, requires_grad=True)
    value = contrastive().each(places, torch.tensor([0, 0, 1, 1]))
    assert value.tolist() == pytest.approx([4.5, 0.5, 0.125, 0])
    value.sum().backward()
    assert places.grad.flatten().tolist() == pytest.approx([-3, 3, -0.5, 0.5])


def test_a_run_that_names_contrastive_is_told_what_it_reads(tmp_path):
    with pytest.raises(InputError, match="loss contrastive reads pairs targets; iris gives class ones"):
        train("iris", loss="contrastive", out=tmp_path / "run")


@pytest.mark.parametrize("spec", ["huber:delta=0", "focal:gamma=-1", "contrastive:margin=nan"])
def test_nonsense_is_refused(spec):
    with pytest.raises(InputError, match=spec.split(":")[0] + " expects " + spec.split(":")[1].split("=")[0]):
        losses.choose(spec).make()


def test_shares_keep_the_order_of_what_is_positive():
    got = shares(torch.tensor([[3.0, 1.0, -2.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.75, 0.25, 0.0], [1 / 3, 1 / 3, 1 / 3]]), rtol=1e-5, atol=1e-6)
    below = torch.tensor([[-3.0, -1.0, -2.0], [-0.2, -90.0, -0.1]])
    assert shares(below).argmax(1).tolist() == [1, 2]                       # not the first class, as of scores that are cut at zero
    torch.testing.assert_close(shares(below[:1]), below[:1].softmax(1))


def test_a_loss_of_ones_own_may_give_a_value_a_sample_or_a_mean():
    def mean(out, y):
        return F.mse_loss(out, y)

    def values(out, y):
        return (out - y) ** 2

    torch.testing.assert_close(custom(mean, OwnLoss(), False).each(OUT, REAL).mean(), F.mse_loss(OUT, REAL))
    torch.testing.assert_close(custom(values, OwnLoss(), False).each(OUT, REAL), ((OUT - REAL) ** 2).mean(1))
    assert custom(mean, OwnLoss(), False).name == "mean"
    assert custom(torch.nn.CrossEntropyLoss(), OwnLoss(), True).name == "CrossEntropyLoss"
    torch.testing.assert_close(custom(F.cross_entropy, OwnLoss(), True).link(OUT).sum(1), torch.ones(50))


def test_logistic_is_the_cross_entropy_of_two_opposite_scores():
    """And its answer, as the task gives it for one output, is the softmax of these."""
    classes = ((SIGNS + 1) / 2).long()
    both = torch.cat([-ONE, ONE], 1)
    torch.testing.assert_close(logistic().each(ONE, SIGNS), cross_entropy().each(both, classes))
    torch.testing.assert_close(probabilities(ONE, True, logistic().link), both.softmax(1))


def test_a_loss_of_two_signs_gives_a_net_of_one_output(tmp_path):
    run = train("digits", net="mlp:hidden=6x2,activation=tanh", classes="1,5", loss="logistic", epochs=10, plan="eager",
                optimizer="adam:rate=0.01", out=tmp_path / "run", progress=False)
    assert run.net.output.weight.shape == (1, 2)
    assert run.record["parameters"] == 6 * 65 + 2 * 7 + 3
    assert run.valid.accuracy > 0.9
    with pytest.raises(InputError, match="loss logistic reads sign targets; digits gives class ones"):
        train("digits", net="softmax", loss="logistic", epochs=1, plan="eager", out=tmp_path / "more", progress=False)
