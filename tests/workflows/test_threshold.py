"""The operating point: chosen as brute force chooses it, and obeyed by everything that answers."""

import csv
import json

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.evaluate.decision import Threshold, choose


def scored(n=60, seed=0):
    """Probabilities (n, 3) with ties, and classes that follow them now and then."""
    draw = torch.Generator().manual_seed(seed)
    p = (torch.rand(n, 3, generator=draw) * 8).round() + 0.5
    p = p / p.sum(1, keepdim=True)
    truth = torch.where(torch.rand(n, generator=draw) < 0.6, p.argmax(1), torch.randint(3, (n,), generator=draw))
    return p.double(), truth


def by_hand(p, truth, t, c=1):
    called, positive = p[:, c] >= t, truth == c
    tp, fp = int((called & positive).sum()), int((called & ~positive).sum())
    return {"recall": tp / int(positive.sum()), "precision": tp / (tp + fp) if tp + fp else 1.0, "fpr": fp / int((~positive).sum())}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("asked", "value"), [("recall", 0.9), ("recall", 0.5), ("precision", 0.6), ("fpr", 0.1), ("fpr", 0.3)])
def test_the_point_is_the_best_of_all_that_keep_what_was_asked(seed, asked, value):
    """Every score tried: of those that keep to it, the strictest for a recall, the one that finds most for the others."""
    p, truth = scored(seed=seed)
    every = {float(t): by_hand(p, truth, t) for t in p[:, 1].unique()}
    keep = {t: s for t, s in every.items() if (s[asked] <= value if asked == "fpr" else s[asked] >= value)}
    chosen = choose(p, truth, ("a", "b", "c"), "b", **{asked: value})
    best = max(keep) if asked == "recall" else max(keep, key=lambda t: (keep[t]["recall"], t))
    if asked == "precision":
        best = min(keep)
    assert chosen.threshold.value == pytest.approx(best)
    assert chosen.shares == pytest.approx(keep[best])
    assert chosen.recall.low <= chosen.shares["recall"] <= chosen.recall.high


def test_a_class_is_answered_from_its_threshold_on_and_else_the_likeliest_of_the_others():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.2, 0.3], [0.2, 0.6, 0.2], [0.1, 0.29, 0.61]])
    assert Threshold(1, 0.3).decided(p).tolist() == [1, 0, 1, 2]
    assert Threshold(1, 0.7).decided(p).tolist() == [0, 0, 0, 2]


@pytest.fixture
def run(tmp_path):
    return cr.train("breast-cancer", net="softmax", epochs=2, plan="eager", seed=1, out=tmp_path / "run", progress=False)


def test_predict_test_compare_and_report_obey_it(run, tmp_path, capsys):
    data = tmp_path / "rows.csv"
    columns = [column.name for column in run.source.inputs.columns]
    with data.open("w") as file:
        rows = zip(*(column.values[:200].tolist() for column in run.source.inputs.columns), strict=True)
        csv.writer(file).writerows([columns, *rows])
    before = run.test()
    name = before.classes[0]
    assert run_command(["threshold", str(run.path), "--class", name, "--at", "0.9", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["threshold"] == {"value": 0.9, "chosen_on": "nothing"}
    assert {"recall", "precision", "fpr"} == set(told["valid"])
    again = cr.Run(run.path)
    after = again.test()
    assert after.counts[name]["tp"] + after.counts[name]["fp"] < before.counts[name]["tp"] + before.counts[name]["fp"]
    assert after.measures["log_loss"] == before.measures["log_loss"]
    assert any("answered from a probability of 0.9 on" in note for note in after.notes)
    p = again.folder.read_predictions()[0]["predictions"]
    assert after.errors == int((torch.where(p[:, 0].double() >= 0.9, 0, 1) != again.folder.read_predictions()[0]["truth"]).sum())
    assert int(again.cases().right.sum()) == after.n - after.errors
    assert run_command(["predict", str(run.path), str(data), "--out", str(tmp_path / "said.csv")]) == 0
    with (tmp_path / "said.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["prediction"] == name for row in rows if float(row[f"p({name})"]) >= 0.9} == {True}
    assert any(0.5 < float(row[f"p({name})"]) < 0.9 for row in rows)
    assert {row["prediction"] == name for row in rows if float(row[f"p({name})"]) < 0.9} == {False}
    assert f"Operating point of &#39;{name}&#39;" in again.report().read_text()


def test_in_python_it_is_chosen_on_the_validation_part_at_once(run):
    name = run.valid.classes[1]
    chosen = run.threshold(name, recall=1.0)
    answers, truth = run.validation.answers, run.validation.truth
    assert chosen.threshold.value == pytest.approx(float(answers[truth == 1, 1].min()))
    assert run.trained.task.threshold == chosen.threshold == cr.Run(run.path).trained.task.threshold


@pytest.mark.parametrize(("given", "words"), [
    ({}, "expected one of --recall, --precision, --fpr and --at; got none"), ({"recall": 0.5, "at": 0.5}, "got --recall, --at"),
    ({"recall": 1.5}, "--recall must be at least 0 and at most 1; got 1.5"),
])
def test_what_cannot_be_chosen_is_said(run, given, words):
    with pytest.raises(InputError, match=words):
        run.threshold(run.valid.classes[0], **given)


def test_other_runs_and_classes_are_refused(run, tmp_path):
    with pytest.raises(InputError, match="has no class 'benin'"):
        run.threshold("benin", at=0.5)
    numbers = cr.train("diabetes", net="linear", epochs=1, plan="eager", out=tmp_path / "numbers", progress=False)
    with pytest.raises(InputError, match="a threshold is for classification"):
        numbers.threshold("1", at=0.5)
    (run.path / "threshold.json").write_text("{")
    with pytest.raises(InputError, match="is not what chainrule threshold wrote"):
        cr.Run(run.path).predict(run.source.inputs)
