"""Weights in the units of the data: the lecture's line, and the net's own answers worked out again from raw values."""

import json

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.audit.coefficients import coefficients
from chainrule.cli.main import run_command

X, Y = (1, 3, 2, 1.5, 4), (1, 2.2, 2, 1.9, 3.1)
SLOPE, INTERCEPT = 0.584483, 0.695690


@pytest.fixture
def points(tmp_path):
    """The five points over and over, in an order of time that puts ten rows into training."""
    rows = [f"{x},{y},{i}" for i, (x, y) in enumerate([*zip(X, Y, strict=True)] * 4)]
    (tmp_path / "points.csv").write_text("\n".join(["x,y,t", *rows]))
    return tmp_path / "points.csv"


def test_linear_prints_and_reports_the_line_through_five_points(points, tmp_path, capsys):
    assert run_command(["train", str(points), "--target", "y", "--time", "t", "--split", "train=.5,valid=.25,test=.25", "--net", "linear",
                        "--rule", "closedform", "--out", str(tmp_path / "run"), "--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert f"y = {SLOPE} x + 0.69569" in said
    told = json.loads(said[-1])["weights"]["y"]
    assert told == {"x": pytest.approx(SLOPE, abs=1e-6), "bias": pytest.approx(INTERCEPT, abs=1e-6)}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<td>x</td><td class=\"n\">0.584483</td>" in page
    assert "<td>bias</td><td class=\"n\">0.69569</td>" in page


def mixed(n=40):
    """Numbers far from zero, words, gaps, a constant, yes/no and dates."""
    draw = np.random.default_rng(0)
    frame = {"size": [None if i % 7 == 0 else float(v) for i, v in enumerate(draw.normal(500, 30, n))],
             "town": [str(v) for v in draw.choice(["ulm", "bonn", "kiel"], n)], "fixed": [3.0] * n,
             "sold": [bool(v) for v in draw.integers(0, 2, n)], "day": [f"2026-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(n)]}
    price = draw.normal(9e4, 1e4, n)
    return frame | {"price": [float(v) for v in price], "kind": ["low" if v < 9e4 else "high" for v in price]}


@pytest.mark.parametrize("target", ["price", "kind"])
def test_raw_values_times_the_weights_are_the_nets_answer(target, tmp_path):
    """Each encoded number undone by hand: size and day as they are, a gap as the mean of the known ones, words as 0 and 1."""
    import polars as pl

    frame = pl.DataFrame({name: values for name, values in mixed().items() if name not in {"price", "kind"} - {target}})
    run = cr.train(cr.load(frame, target=target), net="linear", epochs=3, plan="eager", out=tmp_path / "run", progress=False)
    learned = coefficients(run.trained)
    raw = run.trained.encoder.inputs.encode(frame)
    features = run.trained.encoder.inputs.features
    values = raw.double().clone()
    at = 0
    for column, (centre, factor, _) in zip(features.columns, features.scale, strict=True):
        if column.kind in ("numeric", "boolean", "date"):
            values[:, at] = values[:, at] / factor + centre if factor else centre
        at += len(column.outputs)
    size = learned.inputs.index("size")
    whole = torch.tensor([v is not None for v in frame["size"]])
    torch.testing.assert_close(values[whole, size], torch.tensor([v for v in frame["size"] if v is not None]).double(), rtol=1e-6, atol=0)
    ours = values @ learned.weights.T + learned.bias
    theirs = run.trained.encoder.target.unscale(run.trained.outputs(raw).double())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3 if target == "price" else 1e-5)
    assert learned.outputs == (("price",) if target == "price" else ("score of high", "score of low"))


def test_other_nets_have_no_weights_to_tell(tmp_path):
    run = cr.train("iris", net="mlp:hidden=4", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    assert coefficients(run.trained) is None


def test_pixels_and_one_output_are_told_too(tmp_path):
    run = cr.train("digits", net="linear", classes="1,5", loss="logistic", epochs=2, plan="eager", out=tmp_path / "run", progress=False)
    learned = coefficients(run.trained)
    assert learned.outputs == ("score of 5",)
    pixels = cr.load("digits").inputs[:9].flatten(1)
    torch.testing.assert_close(pixels.double() @ learned.weights.T + learned.bias, run.trained.outputs(pixels.reshape(9, 1, 8, 8)).double())
    assert "the report has all" in str(learned)


def test_a_table_of_many_weights_has_the_bias_once(tmp_path):
    run = cr.train("diabetes", net="linear", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    lines = [line.split() for line in str(coefficients(run.trained)).splitlines()[2:]]
    assert [line[0] for line in lines] == [*run.trained.encoder.inputs.feature_names, "bias"]


def test_of_one_target_the_measures_are_told_once(tmp_path):
    run = cr.train("diabetes", net="linear", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    assert str(run.test()).count("rmse") == 3, "in the table, of a linear model, and of the constant answer"


def test_steps_of_a_series_that_are_read_together_have_no_weights_of_their_own(tmp_path):
    """Each number of a step has a scale, and a linear net reads many steps; printing its weights ended the command."""
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02}-01,{i % 12 + i / 9}\n" for i in range(120)]
    (tmp_path / "series.csv").write_text("date,y\n" + "".join(rows))
    run = cr.train(tmp_path / "series.csv", time="date", target="y", horizon=3, net="linear", epochs=1, plan="eager", out=tmp_path / "run",
                   progress=False)
    assert coefficients(run.trained) is None
