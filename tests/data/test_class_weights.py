"""Weights of classes: scikit-learn's balanced ones, the same as repeating rows, only in training, and recorded with the run."""

import json

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.class_weights import class_weights
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.own import Own


def job(spec, weights=None, **options):
    options = {"net": "softmax", "epochs": 2, "batch": 16} | options
    return build(cr.load("iris"), Options(class_weights=spec, **options), Own(weights=weights))


def test_balanced_weights_are_scikit_learns():
    torch.manual_seed(0)
    codes = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), 200, replacement=True)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=codes.numpy())
    assert class_weights("balanced", ["a", "b", "c"], codes).tolist() == pytest.approx(list(theirs))


def test_given_weights_weigh_the_training_rows_alone_and_are_one_on_average():
    data = job("setosa=4, virginica=0.5").data
    ratio = data.train.weight / data.train.weight[data.train.y == 1][0]
    assert sorted(set(zip(data.train.y.tolist(), [round(r, 5) for r in ratio.tolist()], strict=True))) == [(0, 4.0), (1, 1.0), (2, 0.5)]
    assert float(data.train.weight.mean()) == pytest.approx(1)
    assert data.valid.weight is None


def test_a_class_of_weight_three_pulls_as_if_each_of_its_rows_were_there_three_times():
    weighted = job("setosa=3")
    x, y, w = weighted.data.train.x, weighted.data.train.y, weighted.data.train.weight
    times = torch.where(y == 0, 3, 1)
    each = torch.nn.functional.cross_entropy
    torch.manual_seed(0)
    scores = torch.randn(len(x), 3)
    mean = (each(scores, y, reduction="none") * w).mean()
    torch.testing.assert_close(mean, each(scores.repeat_interleave(times, 0), y.repeat_interleave(times)))


def test_signs_weights_of_rows_and_bootstrap_are_weighed_along():
    signs = job("versicolor=5", net="perceptron", classes="setosa,versicolor").data.train
    positive = signs.y.reshape(-1) > 0
    torch.testing.assert_close(signs.weight[positive] / signs.weight[~positive][0], torch.full((int(positive.sum()),), 5.0))
    rows = torch.rand(150) + 0.5
    both = job("setosa=2", weights=rows, bootstrap=1).data.train
    expected = rows[both.rows] * torch.where(both.y == 0, 2.0, 1.0)
    torch.testing.assert_close(both.weight, expected / expected.mean())


def test_a_heavy_class_is_found_more_often_and_the_run_remembers(tmp_path):
    """Iris petals mix two classes; weighing one up moves the border to its side. Validation is not weighed."""
    found = {}
    for spec in (None, "virginica=20"):
        run = cr.train("iris", net="softmax", class_weights=spec, epochs=60, seed=3, progress=False, plan="eager", out=tmp_path / str(spec))
        said, truth = run.job.trained.predictions(run.job.data.train).argmax(1), run.job.data.train.y
        found[spec] = float((said == 2).float().mean())
        assert float((truth == 2).float().mean()) == pytest.approx(1 / 3, abs=0.1)
    assert found["virginica=20"] > found[None]
    assert json.loads((tmp_path / "virginica=20" / "run.json").read_text())["options"]["class_weights"] == "virginica=20"
    same, _ = cr.repeat(run, progress=False)
    assert same


@pytest.mark.parametrize(("spec", "words"), [
    ("setosa", "cannot read 'setosa'. Write balanced"), ("sotosa=2", "the class 'sotosa', which the data lacks. Did you mean setosa"),
    ("setosa=-1", "a number of at least 0 for 'setosa'; got '-1'"), ("setosa=inf", "got 'inf'"), ("setosa=1,setosa=2", "twice"),
    ("setosa=0,versicolor=0,virginica=0", "no training row that counts"),
])
def test_nonsense_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        job(spec)


def test_numbers_have_no_classes_to_weigh():
    with pytest.raises(InputError, match="diabetes has numeric targets"):
        build(cr.load("diabetes"), Options(class_weights="balanced", epochs=1))


@pytest.mark.parametrize("init", ["lsuv", "data-dependent", "table", "orthogonal", "random-walk"])
def test_initial_weights_that_read_rows_are_given_training_rows(init):
    """Built twice, the same bits; and for lsuv the variance of the first layer on the training rows is about one."""
    first, again = (job(None, net="mlp:hidden=20x10", init=init).net for _ in range(2))
    assert all(torch.equal(t, again.params[name]) for name, t in first.params.items())
    if init == "lsuv":
        one = job(None, net="mlp:hidden=20x10", init=init)
        one.net.module.requires_grad_(False)
        assert float(one.net.module.hidden1(one.data.ready(one.data.train.x)).var()) == pytest.approx(1, abs=0.05)
