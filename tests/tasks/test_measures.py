"""A measure is what its registration says: reported for any task, shown in its unit, and better in its direction."""

import numpy as np
import pytest
import torch
from task_data import waves

import chainrule as cr
from chainrule.core import registry
from chainrule.core.measure import headline, higher_is_better, is_share
from chainrule.evaluate.measures import step_means
from chainrule.tasks.regression import Regression

QUICK = {"epochs": 1, "plan": "eager", "threads": 1, "progress": False}
NAME = "made-up"


@pytest.fixture
def register(monkeypatch, tmp_path):
    """Registers a measure of a task for one test."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    registry.measures.discover()
    monkeypatch.setattr(registry.measures, "_entries", dict(registry.measures._entries))

    def made_up(measure, task, **traits):
        registry.measures(NAME, source="made up", task=task, **traits)(measure)

    return made_up


def test_every_measure_that_results_name_is_registered_and_better_as_it_is_known():
    """Against scikit-learn's scorers, whose sign says which way is better."""
    from sklearn.metrics import get_scorer

    scorers = {"accuracy": "accuracy", "roc_auc": "roc_auc", "average_precision": "average_precision", "f1[a]": "f1", "r2": "r2",
               "rmse": "neg_root_mean_squared_error", "mae": "neg_mean_absolute_error", "log_loss": "neg_log_loss",
               "brier": "neg_brier_score", "macro_recall": "recall_macro", "precision[b]": "precision"}
    for name, scorer in scorers.items():
        assert higher_is_better(name) == (get_scorer(scorer)._sign == 1), name
    y = torch.arange(12) % 6
    named = cr.train((torch.randn(60, 2), torch.arange(60) % 6), net="softmax", **QUICK).valid.measures
    for name in [*named, "mse", "rmse", "mae", "r2", "bias", "nats", "perplexity", "bits", "exact", "squared_error", "log_likelihood",
                 "free_energy"]:
        assert registry.measures.get(name.partition("[")[0].replace("_", "-")) is not None, name
    assert {name for name in named if is_share(name) and "[" not in name} == {
        "accuracy", "top_2", "top_3", "top_5", "macro_precision", "macro_recall", "macro_f1"}
    assert (higher_is_better("loss"), is_share("loss"), len(y)) == (False, False, 12)
    assert headline({"mse": 1, "rmse": 1}) == "rmse"
    assert headline({"nats": 1, "accuracy": 1}) == "nats"


def test_a_share_is_shown_in_per_cent_and_stays_between_none_and_all(register):
    register(lambda answer, truth: ((answer - truth).abs() <= 60).double().mean(1), "regression", better="higher", unit="share")
    run = cr.train("diabetes", net="linear", rule="closedform", plan="eager", progress=False)
    result = run.test()
    off = (run.predict(cr.load("diabetes"))[0] - run.job.data.source.targets.reshape(-1, 1))[run.job.data.door.rows].abs()
    share = float((off <= 60).double().mean())
    assert result.measures[NAME].value == pytest.approx(share)
    assert f"{100 * share:.2f} %" in next(line for line in str(result).splitlines() if NAME in line)
    assert 0 <= result.measures[NAME].low <= share <= result.measures[NAME].high <= 1
    assert f"{100 * share:.2f} %" in run.report().read_text()
    few = step_means("x", {NAME: torch.tensor([0.0] * 8 + [1.0])}).measures[NAME]
    assert (few.method, few.low >= 0) == ("Wilson", True)


@pytest.mark.parametrize(("better", "ends"), [("higher", max), ("lower", min)])
def test_a_task_that_watches_it_keeps_the_weights_that_it_likes_best(register, monkeypatch, better, ends):
    values = iter([3.0, 7.0, 5.0, 1.0, 4.0, *[2.0] * 9])
    register(lambda answer, truth: torch.full((len(answer),), next(values), dtype=torch.float64), "regression", better=better)
    monkeypatch.setattr(Regression, "watch", (NAME,))
    run = cr.train("diabetes", net="linear", **{**QUICK, "epochs": 5})
    seen = [row[f"valid_{NAME}"] for row in run.history]
    assert seen == [3.0, 7.0, 5.0, 1.0, 4.0]
    assert run.summary()["best"][NAME] == ends(seen)


def text(folder):
    (folder / "t.txt").write_text("abracadabra, said the cat. " * 30)
    return "t.txt", {"net": "rnn:hidden=4", "rule": "bptt:window=8"}


def labels(folder):
    lines = [f">s{i}\n{'ACDE'[i % 4] * (4 + i % 3)}\n{'HE'[i % 2] * (4 + i % 3)}" for i in range(40)]
    (folder / "t.fasta").write_text("\n".join(lines) + "\n")
    return "t.fasta", {"net": "rnn:hidden=4"}


WHERE = {"classification": lambda _: ("iris", {"net": "softmax"}), "regression": lambda _: ("diabetes", {"net": "linear"}),
         "reconstruction": lambda _: ("digits", {"net": "autoencoder:code=2"}), "language": text, "tagging": labels,
         "detection": lambda _: ("scenes:count=40,side=32", {"net": "detector:filters=4x8"}),
         "forecast": lambda _: (waves(), {"net": "ar"}),
         "transcription": lambda _: ("strips:count=60,fewest=1,digits=2,source=digits", {"net": "rnn:hidden=4"}),
         "translation": lambda _: ("reversal:length=3,fewest=2,letters=4,count=40", {"net": "seq2seq:hidden=4"}),
         "contacts": lambda _: ("chains:count=30", {"net": "contactnet:hidden=4,depth=1,pairs=2,pair_depth=1"}),
         "segmentation": lambda _: ("roads:count=24,side=16", {"net": "unet:width=2,depth=1"}),
         "generation": lambda _: ("digits", {"net": "gan:hidden=4"}),
         "density": lambda _: (np.random.default_rng(0).normal(size=(60, 2)), {"rule": "expectation"})}


@pytest.mark.parametrize("task", registry.tasks.names())
def test_a_measure_of_any_task_is_reported(register, tmp_path, task):
    shapes = []

    def measure(answer, truth):
        shapes.append((tuple(answer.shape), tuple(truth.shape)))
        return torch.arange(len(answer)).double()

    register(measure, task)
    data, options = WHERE[task](tmp_path)
    run = cr.train(data, **{**QUICK, **options})
    n = len(run.job.data.valid)
    assert run.valid.measures[NAME].value == pytest.approx((n - 1) / 2)
    answer, truth = shapes[-1]
    assert answer[0] == n
    others = {"classification": truth == (n,), "density": truth == (0,), "detection": truth == (n, 3, 5),
              "transcription": truth == (n, 2), "translation": truth == (n, 3)}
    assert others.get(task, truth == answer[: len(truth)])
