"""Losses of the user's own: the form in which they read targets, the rows that a scalar hides, what a single output means."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.job.own_loss import custom, read_as

OUTPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.0, 1.5, 1.0])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def squared_mean(outputs, y):
    return F.cross_entropy(outputs, y) ** 2


def contrastive(outputs, y):
    apart = torch.cdist(outputs, outputs)
    return torch.where(y[:, None] == y, apart, (1 - apart).relu()).square().mean()


@pytest.mark.parametrize(("loss", "over"), [
    (F.cross_entropy, "mean"), (nn.CrossEntropyLoss(), "mean"), (lambda o, y: F.cross_entropy(o, y), "mean"),
    (nn.CrossEntropyLoss(reduction="sum"), "sum"), (nn.CrossEntropyLoss(reduction="none"), "rows"),
    (lambda o, y: F.cross_entropy(o, y, reduction="none").reshape(-1, 1), "rows"),
    (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 2.0])), "batch"), (squared_mean, "batch"), (contrastive, "batch"),
    (lambda o, y: F.multi_margin_loss(o, y) if float(o.detach().sum()) < 1e9 else None, "mean"),           # which vmap cannot pass
])
def test_what_a_scalar_is_over_is_found(loss, over):
    assert read_as(loss, OUTPUTS, LABELS, classes=3).over == over


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weighted_rows_of_a_scalar_have_the_weighted_mean(reduction):
    """Second derivation: the loss of each row by torch's own reduction, times its weight; in the slope as well."""
    function = nn.CrossEntropyLoss(reduction=reduction)
    loss = custom(function, read_as(function, OUTPUTS, LABELS, classes=3), True, by_rows=True)
    x = OUTPUTS.clone().requires_grad_()
    rows = loss.each(x, LABELS)
    expected = F.cross_entropy(x, LABELS, reduction="none") * (len(x) if reduction == "sum" else 1)
    torch.testing.assert_close(rows, expected)
    slopes = [torch.autograd.grad((each * WEIGHTS).mean(), x)[0] for each in (rows, expected)]
    torch.testing.assert_close(*slopes)


def test_rows_that_cannot_be_vectorised_are_passed_one_by_one():
    def loss(outputs, y):
        return F.cross_entropy(outputs, y) * (1.0 if float(outputs.detach().abs().sum()) >= 0 else 0.0)

    own = read_as(loss, OUTPUTS, LABELS, classes=3)
    assert (own.over, own.vectorised) == ("mean", False)
    rows = custom(loss, own, True, by_rows=True).each(OUTPUTS, LABELS)
    torch.testing.assert_close(rows, F.cross_entropy(OUTPUTS, LABELS, reduction="none"))


def test_without_weights_a_scalar_is_evaluated_as_it_is():
    calls = []

    def loss(outputs, y):
        calls.append(len(outputs))
        return F.cross_entropy(outputs, y)

    own = read_as(loss, OUTPUTS, LABELS, classes=3)
    calls.clear()
    assert torch.equal(custom(loss, own, True).each(OUTPUTS, LABELS), F.cross_entropy(OUTPUTS, LABELS).expand(6))
    assert calls == [6]


class Squeezed(nn.Module):
    """(n, 4) -> (n,)."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 1)

    def forward(self, x):
        return self.line(x).squeeze(1)


@pytest.fixture(scope="module")
def line():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    return x, x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(200, generator=generator)


@pytest.mark.parametrize(("net", "loss"), [
    (Squeezed, F.mse_loss), (lambda: nn.Linear(4, 1), F.mse_loss), (Squeezed, lambda o, y: ((o - y) ** 2).mean()),
    (lambda: nn.Linear(4, 1), lambda o, y: ((o.squeeze(1) - y) ** 2).mean()), (Squeezed, lambda o, y: (o - y).abs()), (Squeezed, "squared"),
])
def test_numbers_reach_the_loss_in_the_shape_of_the_answers(net, loss, line):
    """Where (n,) and (n, 1) meet, torch compares all with all, and the net learns the mean: r2 would be about 0."""
    torch.manual_seed(0)
    run = cr.train(line, net=net(), loss=loss, epochs=15, plan="eager", progress=False, optimizer="adam:rate=0.05")
    assert run.valid.measures["r2"].value > 0.97
    assert run.predict(line[0])[0].shape == (200, 1)


def balanced(weight, loss, **options):
    """The share called yes where one in ten is."""
    generator = torch.Generator().manual_seed(1)
    positive = torch.rand(300, generator=generator) < 0.1
    x = torch.randn(300, 3, generator=generator) + positive[:, None]
    torch.manual_seed(0)
    run = cr.train((x, np.array(["no", "yes"])[positive.long().numpy()]), net=nn.Linear(3, 2), loss=loss, class_weights=weight, epochs=20,
                   batch=50, plan="eager", progress=False, optimizer="sgd:rate=0.3", **options)
    return run.predict(x)[0]


def test_class_weights_reach_a_loss_that_returns_a_scalar():
    """Second derivation: the loss of the same name that is evaluated by rows."""
    plain, expected = balanced(None, F.cross_entropy), balanced("yes=20,no=1", "cross-entropy")
    assert (plain[:, 1] > 0.5).float().mean() + 0.05 < (expected[:, 1] > 0.5).float().mean()
    torch.testing.assert_close(balanced("yes=20,no=1", F.cross_entropy), expected)
    torch.testing.assert_close(balanced("yes=20,no=1", lambda o, y: -o.log_softmax(1)[torch.arange(len(y)), y].mean()), expected)


def test_a_loss_of_whole_batches_takes_no_weights():
    with pytest.raises(InputError, match=r"squared_mean has a value for a batch .*reduction='none'"):
        balanced("yes=20,no=1", squared_mean)
    assert balanced(None, squared_mean).shape == (300, 2)


def test_sample_weights_of_an_estimator_reach_a_loss_that_returns_a_scalar():
    from chainrule.estimators import NetworkClassifier

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 2))
    y = (x[:, 0] > 0).astype(int)
    weight = np.where(y == 1, 1.0, 1e-6)
    for loss in (F.cross_entropy, "cross-entropy"):
        torch.manual_seed(0)
        model = NetworkClassifier(net=nn.Linear(2, 2), loss=loss, epochs=30, optimizer="adam:rate=0.1").fit(x, y, sample_weight=weight)
        assert model.predict(x).mean() > 0.95


class Sigmoid(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 1), nn.Sigmoid())


@pytest.mark.parametrize(("net", "loss", "single"), [
    (lambda: nn.Linear(4, 1), nn.BCEWithLogitsLoss(), "logit"), (Squeezed, nn.BCEWithLogitsLoss(), "logit"),
    (lambda: nn.Linear(4, 1), lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y.float()), "logit"),
    (Squeezed, nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)), "logit"), (Sigmoid, nn.BCELoss(), "probability"),
    (Sigmoid, nn.MSELoss(), "probability"), (Squeezed, lambda o, y: (1 - o * (2 * y - 1)).relu().mean(), "logit"),
])
def test_a_single_output_for_two_classes_is_read_as_its_loss_reads_it(net, loss, single, line):
    x, y = line
    torch.manual_seed(0)
    run = cr.train((x, (y > 0).long()), net=net(), loss=loss, epochs=30, plan="eager", progress=False, optimizer="adam:rate=0.1")
    assert run.record["own_loss_as"]["single"] == single
    assert run.history[-1]["valid_accuracy"] > 0.9
    assert run.valid.accuracy > 0.9
    answers = run.predict(x)[0]
    torch.testing.assert_close(answers.sum(1), torch.ones(200))
    assert torch.equal(cr.Run(run.path, net=net()).predict(x)[0], answers)                     # without the loss
