"""Comparators: the same rows, the same door and the same tests as runs; their answers are scikit-learn's on the run's own inputs."""

import json

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import TestOpened
from chainrule.workflows import evaluation
from chainrule.workflows.compare import KIND, NAMES, compare, fitted_cases, model
from chainrule.workflows.run import Run

sklearn = pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Run:
    return cr.train("iris", net="softmax", epochs=20, plan="eager", progress=False, out=tmp_path_factory.mktemp("runs") / "iris")


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "sugar"
    return cr.train("diabetes", net="linear", rule="closedform", plan="eager", progress=False, out=folder)


def test_all_stand_in_one_table_on_the_same_cases_and_the_opening_is_logged(iris):
    before = [e for e in iris.events if isinstance(e, TestOpened)]
    names = ["knn", "naive-bayes", "svm", "tree", "boosting", "forest", "logistic"]
    table = compare(iris, *names)
    assert table.names == ("iris", *names)
    assert table.n == len(iris.job.data.door)
    assert len(table.pairs) == 8 * 7 / 2
    assert all(score <= 5 for score in table.scores)
    opened = [e for e in iris.events if isinstance(e, TestOpened)][len(before):]
    assert [e.reason for e in opened] == ["compare knn naive-bayes svm tree boosting forest logistic", "compare"]
    json.loads(table.to_json())
    assert "exact McNemar, Holm-corrected over 28 pairs" in str(table)


@pytest.mark.parametrize(("came", "measured"), [(Interrupted("a signal"), False), (InputError("roc.png cannot be written"), True)])
def test_a_comparison_interrupted_while_its_run_is_drawn_draws_it_the_next_time(tmp_path, monkeypatch, came, measured):
    """What was measured is kept where pictures cannot be written; else a run that has been measured has its pictures."""
    def fail(*_):
        raise came

    run = cr.train("iris", net="softmax", epochs=2, plan="eager", progress=False, out=tmp_path / "run")
    with monkeypatch.context() as m:
        m.setattr(evaluation, "write_plots", fail)
        with pytest.raises(type(came)):
            compare(run, "knn")
    assert (run.tested is not None) == measured
    compare(Run(run.path), "knn")
    assert Run(run.path).tested is not None
    assert (run.path / "roc.png").exists() == (not measured)


def test_one_page_has_each_models_share_with_its_interval_and_every_pair(iris, tmp_path):
    """The page's numbers against scikit-learn's own count of errors and Wilson's interval written out."""
    from html.parser import HTMLParser

    table = compare(iris, "knn", "tree", out=tmp_path / "page.html")
    cells: list[str] = []

    class Cells(HTMLParser):
        def handle_data(self, data):
            cells.append(data.strip())

    Cells().feed((tmp_path / "page.html").read_text())
    z = 1.959964
    for name, errors in zip(table.names, table.scores, strict=True):
        share, n = errors / table.n, table.n
        half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
        ends = [100 * max((share + z * z / (2 * n) + sign * half) / (1 + z * z / n), 0) for sign in (-1, 1)]
        at = cells.index(name, cells.index("Each alone"))
        told = [cell for cell in cells[at + 1:] if cell][:3]
        assert told[0] == f"{errors:.0f}"
        low, high = told[2].removesuffix(" %").split(" to ")
        assert float(low) == pytest.approx(ends[0], abs=0.01)
        assert float(high) == pytest.approx(ends[1], abs=0.01)
    assert sum(" is better than " in cell or cell.startswith("No difference is shown") for cell in cells) == 3
    assert any(cell.startswith("Errors on") for cell in cells)


def test_a_page_about_numbers_has_no_picture_of_errors(diabetes, tmp_path):
    compare(diabetes, "linear", out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "In pairs" in page
    assert "data:image/png" not in page


def test_what_is_right_is_what_scikit_learn_says_of_the_runs_own_rows(iris):
    """Second derivation: the rows gathered from the raw data by number, scaled by hand with the training part's moments."""
    from sklearn.datasets import load_iris
    from sklearn.neighbors import KNeighborsClassifier

    x, y = load_iris(return_X_y=True)
    data = iris.job.data
    train, test = data.train.rows.numpy(), data.door.rows.numpy()
    mean, sd = x[train].mean(0), x[train].std(0)
    said = KNeighborsClassifier().fit((x[train] - mean) / sd, y[train]).predict((x[test] - mean) / sd)
    cases = fitted_cases(iris, ["knn"])["knn"]
    assert torch.equal(cases.right, torch.from_numpy(said == y[test]))
    assert torch.equal(cases.rows, data.door.rows)
    assert not set(train) & set(test)


def test_least_squares_by_us_and_by_scikit_learn_err_alike(diabetes):
    table = compare(diabetes, "linear", "forest")
    assert table.scores[0] == pytest.approx(table.scores[1], rel=1e-3)
    assert table.measure != "errors"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_each_model_is_of_its_kind(name, task):
    if KIND.get(name, task) != task:
        with pytest.raises(InputError, match=f"{name} is for {KIND[name]}; this run is {task}"):
            model(name, task == "classification")
        return
    from sklearn.base import is_classifier, is_regressor

    assert (is_classifier if task == "classification" else is_regressor)(model(name, task == "classification"))


def test_a_seed_is_passed_on():
    assert model("forest", True, 7).random_state == 7


def test_reconstructions_are_compared_by_their_errors_and_densities_by_their_likelihoods(tmp_path, monkeypatch):
    """The scores against the rows gathered by hand and torch's own Gaussians."""
    monkeypatch.chdir(tmp_path)
    quick = {"plan": "eager", "threads": 1, "progress": False}
    small, large = (cr.train("iris", net=f"autoencoder:code={code}", epochs=3, **quick) for code in (1, 3))
    table = compare(small, large)
    assert table.measure == "mean reconstruction error"
    data = small.job.data
    rows = data.ready(data.door.open("by hand").x)
    for run, score in zip((small, large), table.scores, strict=True):
        assert score == pytest.approx(float((run.net(rows) - rows).square().sum(1).mean()), rel=1e-5)
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)) * 2
    one, three = (cr.train(x, net=f"mixture:components={k},covariance=diagonal", epochs=3, **quick) for k in (1, 3))
    table = compare(one, three)
    assert table.measure == "mean negative log likelihood"
    train, test = one.job.data.train.x, one.job.data.door.open("by hand").x
    bell = torch.distributions.Normal(train.mean(0), train.std(0, unbiased=False))
    assert table.scores[0] == pytest.approx(-float(bell.log_prob(test).sum(1).mean()), rel=1e-3)
    with pytest.raises(InputError, match="mix mean negative log likelihood and mean reconstruction error"):
        compare(one, small)
    with pytest.raises(InputError, match="gives no likelihood of its test cases by which it could be compared"):
        compare(cr.train(x, net="rbm:hidden=30,units=relu", epochs=1, **quick), one)


def test_what_cannot_be_compared_is_refused(iris, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"There is no run and no comparator called 'forrest'. Did you mean forest"):
        compare(iris, "forrest")
    with pytest.raises(InputError, match="needs a run and something to compare it with; got 1 run and no comparator"):
        compare(iris)
    with pytest.raises(InputError, match="got no run and 2 comparators"):
        compare("knn", "svm")
    with pytest.raises(InputError, match=r"There is no comparator called 'vsm'\. Did you mean svm"):
        model("vsm", True)
    with pytest.raises(InputError, match=r"linear is for regression; this run is classification\. Use knn, naive-bayes"):
        compare(iris, "linear")
    with pytest.raises(InputError, match="There is no run in"):
        compare(iris, tmp_path / "nowhere" / "x")
