"""Several numbers predicted together: from the columns of a table to predictions, measures, comparisons and committees."""

import json

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.estimators import NetworkRegressor
from chainrule.workflows.predict import predict_to

N = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prices in hundreds, areas in tens and a column of classes, told by two inputs; `m.csv` beside rows without targets, `new.csv`."""
    folder, draw = tmp_path_factory.mktemp("several"), np.random.default_rng(3)
    x = draw.normal(size=(N, 2)).round(3)
    frame = pl.DataFrame({
        "id": range(N), "a": x[:, 0], "b": x[:, 1], "price": (1000 + 300 * x[:, 0] + 60 * draw.normal(size=N)).round(1),
        "area": (50 - 9 * x[:, 1] + 3 * x[:, 0] + 2 * draw.normal(size=N)).round(2), "town": ["Ulm", "Rom"] * (N // 2)})
    frame.write_csv(folder / "m.csv")
    frame.write_parquet(folder / "m.parquet")
    frame.drop("price", "area").head(7).write_csv(folder / "new.csv")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return cr.train(folder / "m.csv", target="price,area", net="linear", rule="closedform", columns="town:out", out=folder / "run",
                    progress=False)


def rows(run, part):
    frame = pl.read_csv(run.job.source.origin["what"])[part.rows.numpy()]
    return frame["a", "b"].to_numpy(), frame["price", "area"].to_numpy()


def test_each_target_is_fitted_as_a_regression_of_its_own(run):
    """Least squares for several targets are those of each: scikit-learn's, fitted on the same rows and judged on the same."""
    data = run.job.data
    alone = LinearRegression().fit(*rows(run, data.train))
    x, y = rows(run, data.valid)
    predictions, names = run.predict(pl.DataFrame({"a": x[:, 0], "b": x[:, 1]}))
    assert names == ("price", "area")
    np.testing.assert_allclose(predictions, alone.predict(x), rtol=1e-4)
    valid = run.valid
    assert valid.targets == ("price", "area")
    assert valid.measures["r2"].value == pytest.approx(r2_score(y, predictions, multioutput="uniform_average"), rel=1e-5)
    for i, name in enumerate(names):
        assert valid.measures[f"r2[{name}]"].value == pytest.approx(r2_score(y[:, i], predictions[:, i]), rel=1e-5)
        assert valid.measures[f"mse[{name}]"].value == pytest.approx(mean_squared_error(y[:, i], predictions[:, i]), rel=1e-5)
    assert "always the mean: r2 " in str(valid)                      # units differ, so that no root of a mean over both leads


def test_a_run_opened_again_answers_rows_with_and_without_targets(run, folder):
    opened = cr.Run(run.path)
    assert opened.job.data.encoder.target.columns == ("price", "area")
    for name, labels in (("new", ["row", "id", "town"]), ("m", ["row", "id", "town"])):
        predict_to(opened.trained, folder / f"{name}.csv", folder / f"{name}-out.csv")
        assert pl.read_csv(folder / f"{name}-out.csv").columns == [*labels, "price", "area"]
    few, all_rows = pl.read_csv(folder / "new-out.csv"), pl.read_csv(folder / "m-out.csv")
    assert few.drop("price", "area").equals(all_rows.head(7).drop("price", "area"))
    np.testing.assert_allclose(few["price", "area"].to_numpy(), all_rows.head(7)["price", "area"].to_numpy(), rtol=1e-5)
    result = opened.test_on(folder / "m.csv")
    frame = pl.read_csv(folder / "m.csv")
    assert result.measures["r2"].value == pytest.approx(r2_score(frame["price", "area"].to_numpy(), all_rows["price", "area"].to_numpy()),
                                                        rel=1e-5)
    with pytest.raises(InputError, match="has no target 'price, area', or not in every row"):
        opened.test_on(folder / "new.csv")


def test_costs_of_a_comparison_have_no_units(run, folder):
    """Their mean is 1 - r2, whatever the units; as mean squared errors the price alone would decide."""
    net = cr.train(folder / "m.csv", target=["price", "area"], net="mlp:hidden=4", columns="town:out", epochs=3, plan="eager",
                   out=folder / "net", progress=False)
    comparison = cr.compare(run, net, "linear")
    assert comparison.measure == "share of unexplained variance"
    for one, score in zip((run, net), comparison.scores, strict=False):
        assert score == pytest.approx(1 - one.tested.measures["r2"].value, rel=1e-6)
    assert comparison.scores[2] == pytest.approx(comparison.scores[0], rel=1e-3)   # scikit-learn's least squares are ours


def test_members_committees_reports_and_exports_have_all_targets(run, folder):
    sweep = cr.sweep(folder / "m.csv", over={"seed": [0, 1]}, target="price,area", columns="town:out", net="mlp:hidden=4", split_seed=0,
                     epochs=2, plan="eager", out=folder / "sweep", progress=False)
    committee = cr.committee(sweep, out=folder / "committee")
    values, names = committee.predict(folder / "new.csv")
    each = [one.predict(folder / "new.csv")[0] for one in sweep.runs]
    torch.testing.assert_close(values, torch.stack(each).mean(0).to(values.dtype), rtol=1e-5, atol=1e-5)
    assert names == ("price", "area")
    assert committee.standing().measure == "share of unexplained variance"
    page = run.report().read_text()
    assert page.count("is left out, as --columns says") == 1
    assert "price" in page
    assert "area" in page
    path, _ = run.export("onnx")
    inputs = {name: np.array([[0.5], [-1.0]], np.float32) for name in ("a", "b")}
    (out,) = onnxruntime.InferenceSession(path).run(["prediction"], inputs)
    np.testing.assert_allclose(out, run.predict(pl.DataFrame({"a": [0.5, -1.0], "b": [0.5, -1.0]}))[0], rtol=1e-4)


def test_a_table_on_disk_and_frames_apart_keep_the_names(folder):
    stored = load(folder / "m.parquet", target="area,price", stream=True)
    held = load(folder / "m.csv", target="area,price")
    assert (stored.target_names, stored.inputs.names) == (("area", "price"), ("a", "b", "town"))
    assert torch.equal(stored.targets, held.targets)
    frame = pl.read_csv(folder / "m.csv")
    apart = load(frame["a", "b"], frame["price", "area"])
    assert apart.target_names == ("price", "area")
    assert torch.equal(apart.targets, held.targets[:, [1, 0]])
    assert load(frame["a", "b"].to_numpy(), frame["price", "area"]).target_names == ("price", "area")
    assert load(frame["a", "b"].to_pandas(), frame["price", "area"].to_pandas()).target_names == ("price", "area")
    with pytest.raises(InputError, match="expected one target for each of 120 rows; got 119"):
        load(frame["a", "b"], frame["price", "area"][1:])


def test_what_are_no_several_numbers_is_refused_in_a_sentence(folder):
    for target, part in (("price,town", "'town' holds classes (Rom, Ulm). Train a run for it, the other targets left out with --columns "
                                        "price:out"),
                         ("price,aera", "has no column 'aera'. Did you mean area?"), ("price,price", "names 'price' twice")):
        with pytest.raises(InputError) as error:
            load(folder / "m.csv", target=target)
        assert part in str(error.value)
    frame = pl.read_csv(folder / "m.csv").with_columns(area=pl.lit(1.5))
    with pytest.raises(InputError, match="the target 'area' is constant"):
        cr.train(frame, target="price,area", progress=False)
    with pytest.raises(InputError, match="4 of 120 rows lack it"):
        load(_with_gaps(folder), target="price,area")


def _with_gaps(folder):
    frame = pl.read_csv(folder / "m.csv")
    frame.with_columns(area=pl.when(pl.col("id") % 30 == 4).then(None).otherwise(pl.col("area"))).write_csv(folder / "gaps.csv")
    return folder / "gaps.csv"


def test_rows_that_lack_one_of_the_targets_are_left_out_when_asked(folder, capsys):
    options = ["--target", "price,area", "--drop-unlabelled", "--net", "linear", "--epochs", "1", "--plan", "eager", "--json"]
    assert run_command(["train", str(_with_gaps(folder)), *options, "--out", str(folder / "dropped")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["data"]["n"] == N - 4
    assert "4 of 120 rows have no 'price' or 'area' and were left out" in err


def test_an_answer_may_be_called_row_as_the_numbers_of_rows_are(tmp_path):
    frame = pl.DataFrame({"x": np.arange(40.0), "row": np.arange(40) / 7, "column": np.arange(40) / 3})
    frame.write_csv(tmp_path / "places.csv")
    run = cr.train(frame, target="row,column", net="linear", rule="closedform", out=tmp_path / "run", progress=False)
    predict_to(run.trained, tmp_path / "places.csv", tmp_path / "out.csv")
    out = pl.read_csv(tmp_path / "out.csv")
    assert out.columns == ["row number", "row", "column"]
    assert out["row number"].to_list() == list(range(1, 41))
    np.testing.assert_allclose(out["row"], frame["row"], atol=1e-4)


def test_names_of_columns_may_hold_commas():
    frame = pl.DataFrame({"x": np.arange(40.0), "length, cm": np.arange(40) / 7, "y": np.arange(40) / 3})
    source = load(frame, target="length, cm,y")
    assert source.target_names == ("length, cm", "y")
    assert load(frame, target=["y", "length, cm"]).target_names == ("y", "length, cm")


def test_an_estimator_predicts_as_many_numbers(folder):
    frame = pl.read_csv(folder / "m.csv")
    x, y = frame["a", "b"].to_numpy(), frame["price", "area"].to_numpy()
    one = NetworkRegressor("linear", rule="closedform").fit(x, y)
    np.testing.assert_allclose(one.predict(x), LinearRegression().fit(x, y).predict(x), rtol=1e-4)
    assert one.score(x, y) == pytest.approx(r2_score(y, one.predict(x)))
    framed = NetworkRegressor("linear", rule="closedform").fit(frame["a", "b", "town"].to_pandas(), frame["price", "area"].to_pandas())
    assert framed.predict(frame["a", "b", "town"].to_pandas()).shape == (N, 2)
