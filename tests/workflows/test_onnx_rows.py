"""ONNX for raw rows: onnxruntime on rows as people have them says what the run says of them, in classes and units."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from onnx import helper, numpy_helper

import chainrule as cr
from chainrule.core.errors import ChainruleError
from chainrule.data.encode import features as encoding
from chainrule.data.encode.columns import Column, Table, of_booleans, of_numbers, of_words
from chainrule.data.encode.features import Features
from chainrule.workflows import onnx_rows
from chainrule.workflows.onnx_table import FLOAT, ML, STRING, Nodes, encode_table, inputs_of


def answers(path, feeds):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def words(*values):
    return np.array(values, dtype=object)[:, None]


def numbers(*values, kind=np.float32):
    return np.array(values, dtype=kind)[:, None]


def encoded_by_onnx(features, feeds):
    """What the encoding's nodes alone make of raw columns."""
    inputs, nodes = inputs_of(features), Nodes("encoding/")
    encode_table(nodes, features, inputs, "out")
    values = [helper.make_tensor_value_info(one.name, one.element, ["rows", 1]) for one in inputs]
    out = helper.make_tensor_value_info("out", FLOAT, ["rows", None])
    graph = helper.make_graph(nodes.nodes, "encoding", values, [out], nodes.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def fitted(*columns):
    return Features.fit(Table(columns), torch.arange(len(columns[0])), "standard")[0]


def test_words_numbers_and_gaps_are_encoded_as_in_training():
    features = fitted(of_words("town", ["Bonn", "Ulm", None, "Köln", "Ulm"]), of_numbers("age", [20, 30, np.nan, 40, 50]),
                      of_words("size", ["low", "high", "mid", "low", None], order=["low", "mid", "high"]),
                      of_booleans("old", [0, 1, 1, 0, 0]), of_numbers("year", np.array([2e9, 2e9 + 1, 2e9 + 2, 2e9 + 3, 2e9 + 4])))
    feeds = {"town": words("ULM", "", "Paris", "köln"), "age": numbers(30, np.nan, 40, -1), "size": words("high", "", "mid", "huge"),
             "old": numbers(1, 0, np.nan, 1), "year": numbers(2e9 + 1, 2e9, np.nan, 2e9 + 4, kind=np.float64)}
    out = encoded_by_onnx(features, feeds)
    names = list(features.names)
    table = Table((of_words("town", ["ULM", None, "Paris", "köln"]), of_numbers("age", [30, np.nan, 40, -1]),
                   of_words("size", ["high", None, "mid", None], order=["low", "mid", "high"]), of_booleans("old", [1, 0, np.nan, 1]),
                   of_numbers("year", np.array([2e9 + 1, 2e9, np.nan, 2e9 + 4]))))
    np.testing.assert_allclose(out, features.encode(table, None, "here").numpy(), atol=1e-6)
    own = {name: out[:, names.index(name)].tolist() for name in names if name.startswith("town")}   # by hand
    assert own == {"town=Bonn": [0, 0, 0, 0], "town=Köln": [0, 0, 0, 1], "town=Ulm": [1, 0, 0, 0], "town is missing": [0, 1, 0, 0]}
    assert out[:, names.index("age")] == pytest.approx([-5 / 125**0.5, 0, 5 / 125**0.5, -36 / 125**0.5])


def test_rare_words_share_inputs(monkeypatch):
    monkeypatch.setattr(encoding, "FEWEST_INPUTS", 8)
    monkeypatch.setattr(encoding, "MOST_INPUTS", 8)
    every = [f"w{i}" for i in range(20)]
    features = fitted(of_words("w", every * 3 + every[:4] * 2))
    assert features.columns[0].shared == 4
    asked = [*every, "other"]
    out = encoded_by_onnx(features, {"w": words(*asked)})
    assert out.tolist() == features.encode(Table((of_words("w", asked),)), None, "here").tolist()
    assert out.sum(1).tolist() == [1] * 4 + [2] * 16 + [0]


def test_parts_of_dates_are_those_of_the_calendar():
    """Second derivation: pandas' calendar, over leap years and centuries, before 1970 and after."""
    days = np.concatenate([np.arange(-26000, 60000, 17.25), np.array([np.datetime64(d).astype("datetime64[D]").astype(int) for d in (
        "1900-02-28", "1900-03-01", "2000-02-29", "2000-03-01", "1999-12-31", "2100-02-28", "2100-03-01")])])
    features = fitted(Column("day", "date", torch.from_numpy(days)))
    assert features.columns[0].parts == ("month", "weekday", "hour")
    out = encoded_by_onnx(features, {"day": days[:, None]})
    moments = pd.Series(pd.to_datetime("1970-01-01") + pd.to_timedelta(days * 24, unit="h"))
    turns = (moments.dt.month - 1) / 12, moments.dt.day_of_week / 7, moments.dt.hour / 24
    expected = np.stack([wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)], 1)
    np.testing.assert_allclose(out[:, 1:7], expected, atol=1e-6)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A run on a mixed table, its operating point moved, and its file."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.normal(40, 9, 90), "town": draw.choice(["Ulm", "Bonn", "Köln"], 90), "label": draw.normal(size=90)})
    frame["buys"] = np.where(frame.age + 9 * (frame.town == "Ulm") > 42, "yes", "no")
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "town"] = None
    folder = tmp_path_factory.mktemp("people")
    frame.to_csv(folder / "people.csv", index=False)
    run = cr.train(str(folder / "people.csv"), target="buys", net="mlp:hidden=4", epochs=3, plan="eager", out=folder / "run",
                   progress=False)
    run.threshold("yes", at=0.999)
    path, difference = run.export("onnx")
    return run, path, difference


def test_a_raw_row_of_a_table_gets_its_class(people):
    run, path, difference = people
    rows = pd.DataFrame({"age": [33.5, np.nan, 60.0, 51.0], "town": ["Bonn", "Ulm", None, "Paris"], "label": [0.0, 1.0, -1.0, 0.5]})
    _, out = answers(path, {"age": numbers(*rows.age), "town": words("Bonn", "Ulm", "", "Paris"), "input label": numbers(*rows.label)})
    expected, names = run.predict(rows)
    assert difference <= 1e-5
    np.testing.assert_allclose(out["probabilities"], expected.numpy(), atol=1e-5)
    assert (out["probabilities"].argmax(1) == names.index("yes")).any()
    assert out["label"].tolist() == ["no"] * 4                      # the point of 'yes' is out of reach: the other is answered


def test_the_model_says_what_it_is(people):
    run, path, _ = people
    session, _ = answers(path, {"age": numbers(1.0), "town": words("Ulm"), "input label": numbers(0.0)})
    about = session.get_modelmeta().custom_metadata_map
    assert {(i.name, i.type) for i in session.get_inputs()} == {("age", "tensor(float)"), ("town", "tensor(string)"),
                                                               ("input label", "tensor(float)")}
    assert (about["library"], about["task"]) == ("chainrule", "classification")
    assert about["data_fingerprint"] == run.record["data"]["fingerprint"]
    assert set(json.loads(about["classes"])) == {"yes", "no"}
    assert json.loads(about["threshold"]) == {"class": "yes", "value": 0.999}
    assert json.loads(about["validation"])["accuracy"] == run.valid.accuracy
    columns = {c["column"]: c for c in json.loads(about["columns"])}
    assert columns["label"]["input"] == "input label"
    assert columns["town"]["categories"] == ["Bonn", "Köln", "Ulm"]


@pytest.mark.parametrize("part", ["classes", "encoding"])
def test_a_file_that_answers_otherwise_is_not_written(people, tmp_path, monkeypatch, part):
    run, path, _ = people
    model = onnx.load(str(path))
    for constant in model.graph.initializer:
        if part == "classes" and constant.data_type == STRING:
            constant.string_data[:] = list(reversed(constant.string_data))
        if part == "encoding" and constant.name.startswith("encoding/") and constant.data_type == onnx.TensorProto.DOUBLE:
            constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) + 1, constant.name))
    monkeypatch.setattr(onnx_rows, "_model", lambda *_: model)
    with pytest.raises(ChainruleError, match="would answer differently"):
        run.export("onnx", tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_numbers_come_in_their_units(tmp_path):
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) * 50 + 7
    run = cr.train((x, 1000 * x[:, 0] + 5e5), net="linear", epochs=2, plan="eager", out=tmp_path / "run", progress=False)
    path, _ = run.export("onnx")
    session, out = answers(path, {"input": x[:1].numpy()})
    assert out["prediction"] == pytest.approx(run.predict(x[:1])[0].numpy(), rel=1e-5)
    assert abs(out["prediction"].item() - 5e5) < 5e5
    assert json.loads(session.get_modelmeta().custom_metadata_map["targets"]) == ["target"]


def test_pictures_are_read_as_pixels(tmp_path):
    run = cr.train("digits", net="softmax", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    path, _ = run.export("onnx")
    pixels = run.source.inputs[:5]
    session, out = answers(path, {"pixels": pixels.numpy()})
    assert (session.get_inputs()[0].type, session.get_inputs()[0].shape[1:]) == ("tensor(uint8)", [1, 8, 8])
    expected = run.predict(pixels)[0]
    np.testing.assert_allclose(out["probabilities"], expected.numpy(), atol=1e-5)
    assert out["label"].tolist() == expected.argmax(1).tolist()


def test_what_has_no_raw_rows_in_onnx_keeps_its_encoded_ones_and_says_so(tmp_path, capsys, monkeypatch):
    run = cr.train("digits", task="reconstruction", net="autoencoder:hidden=4", epochs=1, plan="eager", out=tmp_path / "run",
                   progress=False)
    read = []
    monkeypatch.setattr(onnx_rows, "export", lambda module, example, out, to, rows: read.append((to, rows)) or 0.0)
    run.export("onnx")
    assert "reads encoded rows and gives the net's own outputs: only classification and regression" in capsys.readouterr().err
    assert read[0][0] == "onnx"
    assert torch.equal(read[0][1], run.trained.ready(run.validation.inputs))
