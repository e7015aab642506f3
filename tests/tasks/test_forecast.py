"""Forecasts from a file to further steps: by a formula that a wave obeys, by numpy's least squares, by hand, and with what goes wrong."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from task_data import waves

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.reading import Reading
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.tasks.forecast import last

QUICK = {"plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(scope="module")
def monthly(tmp_path_factory):
    """A file of ten years of months, with a trend, a season and a column beside; its run; and its frame."""
    folder = tmp_path_factory.mktemp("monthly")
    rng, t = np.random.default_rng(0), np.arange(120)
    frame = pd.DataFrame({"month": pd.date_range("2010-01-01", periods=120, freq="MS").astype(str),
                          "sales": 100 + 0.5 * t + 10 * np.sin(t * np.pi / 6) + rng.normal(size=120), "rain": rng.normal(size=120)})
    frame.to_csv(folder / "shop.csv", index=False)
    run = cr.train(folder / "shop.csv", target="sales", time="month", horizon=6, lags=12, split="train=.5,valid=.25,test=.25",
                   out=folder / "run", **QUICK)
    return folder, run, frame


def test_a_csv_with_a_horizon_is_foretold_without_further_options(monthly):
    _, run, _ = monthly
    assert run.summary()["task"] == "forecast"
    result = run.test()
    assert result.measures["mase"].value < 0.6 * result.baseline.measures["mase"].value
    assert {"mase", "smape", "rmse", "coverage", "mase[1]", "coverage[6]"} <= set(result.measures)
    assert set(result.baseline.measures) == set(result.measures)
    assert "steps ahead" in str(result)
    assert (run.path / "forecast-fan.png").exists()
    assert (run.path / "error-by-horizon.png").exists()
    text = run.report().read_text()
    assert "On the validation part: forecast-fan" in text


def test_answers_are_numpys_least_squares_with_a_ridge(monthly):
    _, run, _ = monthly
    data = run.job.data
    x, y = data.train.x.flatten(1).double().numpy(), data.train.y.double().numpy()
    around = x - x.mean(0)
    weight = np.linalg.solve(around.T @ around + np.eye(x.shape[1]), around.T @ (y - y.mean(0)))
    new = data.valid.x.flatten(1).double().numpy()
    expected = ((new - x.mean(0)) @ weight + y.mean(0)) * data.encoder.target.scale[1].numpy() + data.encoder.target.scale[0].numpy()
    np.testing.assert_allclose(run.trained.predictions(data.valid).numpy(), expected, rtol=1e-5)


def test_further_steps_are_written_with_stamps_and_intervals(monthly, tmp_path):
    folder, run, frame = monthly
    out = tmp_path / "p.csv"
    again = cr.Run(run.path)
    from chainrule.workflows.predict import predict_to

    assert predict_to(again.trained, folder / "shop.csv", out) == 6
    rows = list(csv.DictReader(out.open()))
    assert [row["month"] for row in rows] == pd.date_range("2020-01-01", periods=6, freq="MS").astype(str).tolist()
    assert [row["step"] for row in rows] == [*"123456"]
    data = run.job.data
    residuals = (run.trained.predictions(data.valid) - run.truth(data.valid)).abs().sort(0).values
    half = residuals[min(len(residuals), int(np.ceil(0.95 * (len(residuals) + 1)))) - 1]
    for row, width in zip(rows, half.tolist()):
        assert float(row["sales high"]) - float(row["sales"]) == pytest.approx(width, rel=1e-3)
        assert float(row["sales"]) - float(row["sales low"]) == pytest.approx(width, rel=1e-3)
    end = torch.tensor(frame["sales"].to_numpy()[-12:])
    (values, names) = again.predict(frame)
    assert names[0] == "sales +1"
    assert values.shape == (1, 6)
    np.testing.assert_allclose(again.trained.task.history(again.trained.encoder.inputs.encode(
        again.trained.task.read(cr.load(folder / "shop.csv", target="sales", time="month", reading=Reading(horizon=6, lags=12)), 0, False)))
        .flatten(), end, rtol=1e-5)
    np.testing.assert_allclose(values[0], [float(row["sales"]) for row in rows], rtol=1e-5)


def test_the_baseline_is_the_last_value_again_and_again(monthly):
    _, run, frame = monthly
    data = run.job.data
    values = frame["sales"].to_numpy()
    origins = data.valid.rows.numpy() + 11
    errors = np.stack([abs(values[o + 1 : o + 7] - values[o]) for o in origins])
    scale = run.trained.encoder.inputs.lagging.errors[0]
    measured = run.trained.measure(data.valid).baseline
    assert measured.name.startswith("the naive forecast")
    assert measured.measures["mase"].value == pytest.approx(errors.mean() / scale, rel=1e-5)
    assert measured.measures["mase[6]"].value == pytest.approx(errors[:, 5].mean() / scale, rel=1e-5)


def test_runs_of_other_lags_are_compared_over_the_same_origins(monthly, tmp_path):
    folder, run, _ = monthly
    other = cr.train(folder / "shop.csv", target="sales", time="month", horizon=6, lags=3, split="train=.5,valid=.25,test=.25",
                     out=tmp_path / "other", **QUICK)
    comparison = cr.compare(run, other, "linear")
    assert comparison.n == 25
    assert comparison.measure == "mean absolute scaled error"
    assert "blocks of 6 neighbours" in comparison.test
    assert comparison.scores[0] == pytest.approx(run.tested.measures["mase"].value, rel=1e-5)


def test_it_is_measured_on_a_file_and_resumes_and_repeats(monthly):
    folder, run, _ = monthly
    assert run.test_on(folder / "shop.csv").n == 120 - 12 - 6 + 1
    assert cr.repeat(run, progress=False) == (True, 0.0)
    assert json.loads(json.dumps(run.summary()))["valid"]["baseline"]["mase"] > 0


def test_a_net_with_memory_answers_by_its_last_step():
    job = build(waves(), Options(net="rnn:hidden=8,answer=steps", epochs=2, plan="eager", threads=1))
    for _ in job.events():
        pass
    part = job.data.valid
    x = job.data.ready(part.x)
    raw = job.net.module(x)
    assert raw.shape == (len(part), 8, 3)
    torch.testing.assert_close(last(raw), raw[:, -1])
    expected = job.task.target.unscale(raw[:, -1].detach())
    torch.testing.assert_close(job.trained.predictions(part), expected)
    costs = job.task.validate(job.trained.inference, part, job.criterion, job.loss)
    by_hand = 0.5 * (raw.detach()[:, -1] - part.y).square().sum(1).mean()
    assert costs["loss"] == pytest.approx(float(by_hand), rel=1e-4)


def test_a_sine_is_foretold_exactly_by_two_lags(tmp_path):
    """A sine obeys x[t+1] = 2 cos(w) x[t] - x[t-1], which a linear map of two lags holds exactly."""
    source = cr.load({"x": np.sin(0.5 * np.arange(200))}, target="x", reading=Reading(horizon=4, lags=2))
    run = cr.train(source, net="ar", rule="closedform", out=tmp_path / "run", **QUICK)
    assert run.test().measures["mase"].value < 1e-4


def test_rows_that_are_no_series_and_series_that_a_net_cannot_read_are_refused(tmp_path):
    with pytest.raises(InputError, match="--horizon"):
        build(cr.load("diabetes"), Options(task="forecast"))
    with pytest.raises(InputError, match="--horizon"):
        build(cr.load("diabetes"), Options(net="ar"))
    with pytest.raises(InputError, match="order of at most t"):
        build(waves(), Options(net="ar:order=9"))
    run = cr.train(waves(), net="tdnn:hidden=4", steps=2, out=tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match="has 5 steps; the network reads 8"):
        run.predict({"wave": np.arange(5.0), "other": np.arange(5.0)})
    with pytest.raises(InputError, match="other"):
        run.predict({"wave": np.arange(9.0)})
