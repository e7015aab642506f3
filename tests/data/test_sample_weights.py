"""Weights of rows: the same as repeating rows, scikit-learn's, nothing where they are constant, and a column of a table that is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.registry import nets, rules, tasks
from chainrule.data.prepare import prepare
from chainrule.data.source import Part
from chainrule.data.storage import blocks
from chainrule.data.storage.stored import Streamed
from chainrule.job.build import assemble, build
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.workflows import compare


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def frame(n=240, seed=0, **columns):
    """Two classes that overlap; `w` weighs rows of large `b` up, so that it turns the border."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    y = np.where(a + b * rng.choice([-1, 1], n) + 0.5 * rng.normal(size=n) > 0, "yes", "no")
    return pd.DataFrame({"a": a, "b": b, "w": rng.integers(0, 4, n) + 3 * (b > 0), **columns, "y": y})


def train(what, **options):
    usual = {"target": "y", "net": "softmax", "plan": "eager", "threads": 1, "progress": False, "epochs": 5, "batch": 32}
    return cr.train(what, **usual | options)


def final(data, net="mlp:hidden=6", kind="class", steps=60, **options):
    """The tensors after so many steps on all rows at once, in double precision."""
    usual = {"optimizer": "momentum:rate=0.3", "plan": "eager", "threads": 1, "epochs": steps, "batch": len(data.train)}
    options = Options(**usual | options)
    data = replace(data, ready=lambda x: data.encoder.inputs.ready(x).double())
    task = tasks.find("regression" if kind == "real" else "classification")
    rule = rules.choose(options.rule or "backprop")
    job = assemble(data, options, nets.choose(net), rule, kind, task, dtype=torch.float64, keeps_last=True)
    for _ in job.events():
        pass
    return {name: t.detach() for name, t in job.net.tensors.items()}


def gaps(one, other):
    return max(float((one[name] - other[name]).detach().abs().max()) for name in one)


@pytest.mark.parametrize(("target", "kind", "loss"), [("y", "class", "cross-entropy"), ("b", "real", "squared")])
def test_whole_weights_are_rows_repeated(target, kind, loss):
    """Sixty steps by all rows: sum w l / n with weights of mean 1 against the plain mean over each row written w times."""
    data = prepare(cr.load(frame(), target=target, weight="w"))
    part, w = data.train, torch.tensor(frame()["w"])[data.train.rows]
    assert int((w == 0).sum()) > 5
    if kind == "real":
        part = replace(part, y=part.y.double())
        data = replace(data, train=part, valid=replace(data.valid, y=data.valid.y.double()))
    repeated = Part(part.x.repeat_interleave(w, 0), part.y.repeat_interleave(w, 0), part.rows.repeat_interleave(w))
    plain = replace(part, weight=None)
    weighted, written, unweighted = (final(replace(data, train=p), kind=kind, loss=loss) for p in (part, repeated, plain))
    assert gaps(weighted, written) < 1e-6
    assert gaps(weighted, unweighted) > 1e-2


@pytest.mark.parametrize("class_weights", [None, "yes=3"])
def test_a_weighted_softmax_is_scikit_learns_weighted_logistic_regression(class_weights):
    """mean loss + l2 (|w1|^2 + |w2|^2) / 2, w2 = -w1, is least where C sum w loss + |w1 - w2|^2 / 2 is, with C = 2 / (l2 n)."""
    table = frame()
    data = build(cr.load(table, target="y", weight="w"), Options(epochs=1, class_weights=class_weights)).data
    part = data.train
    full = table["w"].to_numpy()[part.rows] * np.where(part.y == 1, 3.0 if class_weights else 1.0, 1.0)
    full /= full.mean()
    np.testing.assert_allclose(part.weight, full, rtol=1e-6)
    found = final(data, net="softmax", rule="backprop:l2=0.02", optimizer="lbfgs", steps=30)
    weight, bias = (t.detach().numpy() for t in found.values())
    for w, close in ((full, True), (None, False)):
        theirs = LogisticRegression(C=2 / (0.02 * len(part)), tol=1e-10, max_iter=10_000).fit(part.x.double().numpy(), part.y.numpy(), w)
        off = [np.abs(weight[1] - weight[0] - theirs.coef_[0]).max(), abs(bias[1] - bias[0] - theirs.intercept_[0])]
        assert max(off) < 1e-5 if close else max(off) > 0.1


def test_constant_weights_change_nothing_to_the_last_bit():
    """As a column whatever its value, as a tensor, and as ones that reach every step."""
    frame().drop(columns="w").to_csv("plain.csv", index=False)
    frame(w=0.1).to_csv("same.csv", index=False)
    net = "mlp:hidden=6"
    plain = train("plain.csv", net=net)
    for run in (train("same.csv", net=net, weight="w"), train("plain.csv", net=net, weights=torch.full((240,), 7.3))):
        assert run.job.data.train.weight is None
        assert all(torch.equal(t, run.job.net.tensors[name]) for name, t in plain.job.net.tensors.items())
    data = prepare(cr.load("plain.csv", target="y"))
    ones = replace(data, train=replace(data.train, weight=torch.ones(len(data.train))))
    assert gaps(final(data, batch=32), final(ones, batch=32)) == 0


def test_only_training_rows_are_weighted_and_the_column_is_no_input():
    table = frame()
    data = build(cr.load(table, target="y", weight="w"), Options(epochs=1)).data
    w = torch.from_numpy(table["w"].to_numpy(dtype=float))[data.train.rows]
    torch.testing.assert_close(data.train.weight, (w / w.mean()).float())
    assert data.encoder.inputs.feature_names == ("a", "b")
    assert data.valid.weight is None
    assert data.door.open("look").weight is None
    assert cr.load(table, target="y", weight="w").fingerprint != cr.load(table.drop(columns="w"), target="y").fingerprint
    table.loc[3, "w"] += 1
    assert cr.load(table, target="y", weight="w").fingerprint != data.source.fingerprint


def test_weights_given_twice_multiply_and_samples_keep_their_mean():
    more = torch.rand(240) + 0.5
    source = cr.load(frame(), target="y", weight="w")
    for options in ({}, {"fold": "2/3"}, {"bootstrap": 4}):
        part = build(source, Options(epochs=1, class_weights="no=2", **options), Own(weights=more)).data.train
        full = source.weights[part.rows] * more[part.rows] * torch.where(part.y == 0, 2.0, 1.0)
        torch.testing.assert_close(part.weight, (full / full.mean()).float())
    drawn = build(source, Options(epochs=1, bootstrap=4)).data.train
    assert float(drawn.weight.mean()) == pytest.approx(1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_brings_the_weights_of_its_own_rows(monkeypatch, stream):
    """Of a file in memory and of one that stays on disk; column `a` is the logarithm of the weight."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 512)
    table = frame(600)
    table["w"] = np.exp(table["a"])
    table.to_parquet("t.parquet")
    job = build(cr.load("t.parquet", target="y", weight="w", stream=stream), Options(epochs=1, batch=16))
    assert isinstance(job.data.train.x, Streamed) == stream
    centre, factor, _ = job.data.encoder.inputs.features.scale[0]
    seen = 0
    for chunk in job.feed().chunks(1, 0, 3):
        a = chunk.x[..., 0].double() / factor + centre
        scale = chunk.weight.double() / a.exp()
        torch.testing.assert_close(scale, torch.full_like(scale, float(scale.flatten()[0])), rtol=1e-4, atol=0)
        seen += chunk.weight.numel()
    assert seen == len(job.data.train)


def test_a_streamed_run_is_repeated_and_members_are_the_runs_they_would_be_alone():
    frame(600).to_parquet("t.parquet")
    source = cr.load("t.parquet", target="y", weight="w", stream=True)
    run = train(source, out="streamed")
    assert cr.Run("streamed").source.fingerprint == source.fingerprint != cr.load("t.parquet", target="y", stream=True).fingerprint
    same, _ = cr.repeat("streamed", progress=False)
    assert same
    sweep = train("t.parquet", weight="w", members=2, out="members")
    alone = [train("t.parquet", weight="w", seed=seed, out=f"alone-{seed}") for seed in (0, 1)]
    plain = train("t.parquet", out="plain")
    for one, other in zip(sweep, alone, strict=True):
        assert torch.equal(one.job.data.train.weight, other.job.data.train.weight)
        assert gaps(one.job.net.tensors, other.job.net.tensors) < 1e-5
    assert all(t.shape != plain.job.net.tensors[name].shape or not torch.equal(t, plain.job.net.tensors[name])
               for name, t in alone[0].job.net.tensors.items())
    assert run.job.data.train.weight is not None


def test_members_with_and_without_weights_are_not_stacked():
    """Class weights of 1 are none; a stack takes its first member's word on whether there are any."""
    source, specs = cr.load(frame().drop(columns="w"), target="y"), ("yes=1", "yes=9")
    kinds = [build(source, Options(net="softmax", epochs=1, class_weights=spec)).kind()[0] for spec in specs]
    assert kinds[0] != kinds[1]
    sweep = cr.sweep(source, over={"class_weights": specs}, net="softmax", epochs=20, batch=32, threads=1, progress=False, out="both")
    said = [float((run.job.trained.predictions(run.job.data.train).argmax(1) == 1).float().mean()) for run in sweep]
    assert said[1] > said[0] + 0.1


def test_the_command_line_weighs_repeats_and_predicts_without_the_column(capsys):
    frame().to_csv("t.csv", index=False)
    frame(20, seed=1).drop(columns=["w", "y"]).to_csv("new.csv", index=False)
    arguments = ["t.csv", "--target", "y", "--weight", "w", "--net", "softmax", "--epochs", "2", "--plan", "eager", "--threads", "1"]
    assert run_command(["train", *arguments, "--out", "r"]) == 0
    record = json.loads(Path("r/run.json").read_text())
    assert (record["options"]["weight"], record["data"]["origin"]["weight"]) == ("w", "w")
    assert run_command(["repeat", "r"]) == 0
    assert "The same weights, bit for bit" in capsys.readouterr().out
    assert run_command(["predict", "r", "new.csv", "--out", "p.csv"]) == 0
    assert len(pd.read_csv("p.csv")) == 20
    assert run_command(["predict", "r", "t.csv", "--out", "p.csv", "--overwrite"]) == 0
    assert "did not read" not in capsys.readouterr().err
    assert run_command(["test", "r", "--on", "t.csv"]) == 0
    assert "240 cases" in capsys.readouterr().out
    assert run_command(["train", "t.csv", "--target", "y", "--weight", "wight", "--out", "q"]) == 2
    assert capsys.readouterr().err == "t.csv has no column 'wight'. Known: a, b, w, y. Name it with --weight.\n"


def test_comparators_are_fitted_with_the_run_s_weights():
    run = train(cr.load(frame(600), target="y", weight="w"))
    part, test = run.job.data.train, run.job.data.door.open("look")
    found = compare.fitted_cases(run, ["logistic", "knn"])
    right = {}
    for name, w in (("weighted", part.weight.double().numpy()), ("plain", None)):
        theirs = LogisticRegression(max_iter=1000).fit(part.x.numpy(), part.y.numpy(), w)
        right[name] = torch.from_numpy(theirs.predict(test.x.numpy())) == test.y
    assert torch.equal(found["logistic"].right, right["weighted"])
    assert not torch.equal(right["weighted"], right["plain"])
    assert len(found["knn"].right) == len(test)


def negative():
    table = frame()
    table.loc[4, "w"] = -2
    return table


def missing():
    table = frame()
    table["w"] = table["w"].astype(float)
    table.loc[6, "w"] = np.nan
    return table


REFUSED = {
    "misspelt": (frame, {"weight": "v"}, r"has no column 'v'.*Name it with --weight"),
    "beyond": (frame, {"weight": "9"}, "has 4 columns; --weight 9 is not one of them"),
    "negative": (negative, {"weight": "w"}, r"row 5: the weight 'w' must be at least 0; got -2\. Correct it, or remove the row"),
    "missing": (missing, {"weight": "w"}, r"row 7: the weight column 'w' is empty; every row needs a weight\. Fill or remove the row"),
    "all zero": (lambda: frame(w=0), {"weight": "w"}, r"the weight column 'w' is 0 in all 240 rows; expected a number above 0.*leave out"),
    "words": (lambda: frame(w="much"), {"weight": "w"}, "holds words such as 'much'; expected a number of at least 0 in each row"),
    "target": (frame, {"weight": "y"}, r"--weight and --target both name the column 'y' of the data frame; expected a column of its own"),
    "numbered target": (frame, {"weight": "3"}, "--weight and --target both name the column 'y'"),
    "no training row": (lambda: frame(w=np.r_[np.zeros(239), 1]), {"weight": "w", "split": "train=.1,valid=.45,test=.45", "seed": 1},
                        r"all 24 training rows have the weight 0; expected some above 0\. Give other weights, or divide"),
    "no class counts": (lambda: frame(w=frame()["y"] == "no"), {"weight": "w", "class_weights": "no=0"}, "training rows have the weight 0"),
    "named set": (lambda: "iris", {"weight": "w", "target": None}, "iris has its own target and no further columns"),
    "arrays": (lambda: (np.ones((9, 2)), np.arange(9)), {"weight": "w"}, "no columns with names; --weight needs a table"),
    "swept": (frame, {"members": 2, "weight": "v"}, "has no column 'v'"),
    "loaded": (lambda: cr.load(frame(), target="y"), {"weight": "w"}, r"got frame, which is loaded already\. Name it there: cr\.load"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nonsense_is_refused_in_a_sentence(case):
    what, options, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as refused:
        train(what(), **options)
    assert "\n" not in str(refused.value)


def test_boosting_weighs_rows_itself():
    with pytest.raises(InputError, match=r"Boosting weighs the rows of frame itself; got weights from the column 'w'\. Leave --weight out"):
        cr.boost(frame(), target="y", weight="w", progress=False)
