"""The linear model beside a net: its fit against scikit-learn and against generalised cross-validation written out; where there is none."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule.core.abilities.tasks import AnswersConstantly
from chainrule.core.registry import tasks
from chainrule.evaluate.advantage import Advantage, advantage
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.linear import NAME, PENALTIES, linear_of, logistic, ridge

QUICK = {"epochs": 2, "plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_classes_are_those_of_a_penalised_logistic_regression():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 5)) * [1, 10, 0.1, 3, 0] + 2
    y = (x[:, 0] + x[:, 1] / 5 + random.normal(size=200) > 4).astype(int) + (x[:, 3] > 4)
    z = StandardScaler().fit_transform(x)
    peer = LogisticRegression(C=1.0, max_iter=5000, tol=1e-10).fit(z, y).predict_proba(z)
    ours = logistic(torch.from_numpy(x), torch.from_numpy(y), 3)(torch.from_numpy(x)).softmax(1)
    assert ours.numpy() == pytest.approx(peer, abs=2e-4)


def test_numbers_are_those_of_least_squares_where_there_is_nothing_to_hold_back():
    random = np.random.default_rng(1)
    x, noise = random.normal(size=(300, 4)) * [1, 100, 0.01, 1] + 5, random.normal(size=(300, 2)) * 0.01
    y = x @ random.normal(size=(4, 2)) + 3 + noise
    peer = LinearRegression().fit(x, y).predict(x)
    ours = ridge(torch.from_numpy(x), torch.from_numpy(y))(torch.from_numpy(x))
    assert ours.numpy() == pytest.approx(peer, rel=1e-3)


def test_the_penalty_is_the_one_that_generalised_cross_validation_likes_best():
    random = np.random.default_rng(2)
    x = random.normal(size=(40, 60))
    y = x[:, :2].sum(1, keepdims=True) + random.normal(size=(40, 1))
    z, off, n = (x - x.mean(0)) / x.std(0), y - y.mean(0), 40
    scores, answers = [], []
    for penalty in PENALTIES.numpy() * n:
        hat = z @ np.linalg.inv(z.T @ z + penalty * np.eye(60)) @ z.T                       # (n, n), written out
        free = n - 1 - np.trace(hat)
        scores.append(((off - hat @ off) ** 2).sum() / free**2 if free > 0 else np.inf)
        answers.append(hat @ off + y.mean(0))
    ours = ridge(torch.from_numpy(x), torch.from_numpy(y))(torch.from_numpy(x))
    assert ours.numpy() == pytest.approx(answers[int(np.argmin(scores))], abs=1e-6)


def test_a_net_stands_beside_it_and_beside_the_constant_answer_case_by_case():
    run = cr.train("digits", net="mlp:hidden=32", **QUICK)
    result, part = run.test(), run.job.data.door.open("by hand")
    truth = part.y.numpy()
    usual = np.bincount(run.job.data.train.y.numpy()).argmax()
    linear = linear_of(run.trained, run.job.data).answer(run.trained, part.x).argmax(1).numpy()
    ours = run.trained.predictions(part).argmax(1).numpy()
    assert [one.name for one in result.against] == [NAME, f"always {run.job.data.classes[usual]}"]
    for one, theirs in zip(result.against, (linear, np.full_like(truth, usual)), strict=True):
        only, other = int(((ours != truth) & (theirs == truth)).sum()), int(((ours == truth) & (theirs != truth)).sum())
        assert one.difference == pytest.approx((only - other) / len(truth))
        assert one.p == pytest.approx(binomtest(only, only + other).pvalue if only + other else 1.0)
        assert one.low <= one.difference <= one.high
    assert result.linear.measures["accuracy"].value == pytest.approx((linear == truth).mean())
    assert Result.from_json(result.to_json()) == result
    assert str(result).splitlines()[-2].startswith("a linear model: accuracy ")
    assert "the net is better by" in str(result).splitlines()[-1]


def test_the_log_and_the_summary_tell_them_too():
    run = cr.train("diabetes", net="linear", **QUICK)
    simpler, valid = run.events[-1].simpler, run.summary()["valid"]
    assert simpler["baseline"]["name"] == valid["baseline"]["name"] == "always the mean"
    assert simpler["linear"] == valid["linear"]
    assert set(valid["linear"]) >= {"name", "rmse", "mae"}
    assert [one["name"] for one in valid["against"]] == [NAME, "always the mean"] == [one["name"] for one in simpler["against"]]


def test_a_series_has_one_that_reads_its_lags():
    run = cr.train("sunspots", net="naive", horizon=2, plan="eager", progress=False)
    against = {one.name: one for one in run.valid.against}
    assert against["the naive forecast, the last value"].difference == 0
    assert run.valid.linear.measures["mase"].value < run.valid.measures["mase"].value
    assert "coverage" not in run.valid.linear.measures


def test_there_is_none_for_rows_that_validate_what_they_train():
    run = cr.train("iris", net="ensemble:members=3", folds=3, **QUICK)
    assert run.valid.linear is None
    assert run.valid.baseline is not None


def test_no_random_number_is_drawn_for_it():
    run = cr.train("iris", net="linear", **QUICK)
    before = torch.get_rng_state()
    linear_of(run.trained, run.job.data)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tie_a_loss_and_a_win_are_said_as_such():
    rows = torch.arange(200)
    right = Cases(rows, "x", right=rows >= 20)
    assert "no difference is shown" in str(advantage("the same", right, right))
    assert "the net is better by 40.00 (" in str(advantage("worse", right, Cases(rows, "x", right=rows >= 100)))
    assert "the net is worse by 10.00 (" in str(advantage("better", right, Cases(rows, "x", right=rows >= 0)))
    cost = Advantage("a", "mean squared error", 10, -2.0, -3.0, -1.0, 0.95, 0.01, "paired sign flips")
    assert str(cost) == "the net is better by 2.000 (1.000 to 3.000) in mean squared error, p = 0.01"


def test_every_task_with_a_constant_answer_in_the_form_of_its_answers_is_paired():
    able = {entry.name for entry in tasks.entries() if issubclass(entry.make, AnswersConstantly)}
    assert able == {entry.name for entry in tasks.entries()} - {"density", "generation"}
