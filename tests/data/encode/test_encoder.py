"""The encoder against scikit-learn's, its round trip through tensors and JSON, and what it says of data that do not fit."""

import json
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from made_data import people
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from chainrule.core.errors import InputError
from chainrule.data.encode.encoder import Encoder
from chainrule.data.load import load
from chainrule.data.prepare import prepare


@pytest.mark.parametrize("span", ["standard", "unit"])
def test_a_table_is_encoded_as_scikit_learn_would(span):
    frame = people()
    data = prepare(load(frame), range=span, seed=1)
    train = frame.iloc[data.train.rows.numpy()]
    scaler = StandardScaler if span == "standard" else MinMaxScaler
    names = list(data.encoder.inputs.feature_names)
    for part in (data.train, data.valid, data.door.open("test")):
        here = frame.iloc[part.rows.numpy()]
        for name in ("age", "income"):
            filled = SimpleImputer().fit(train[[name]])
            want = scaler().fit(train[[name]].dropna().to_numpy())
            got = part.x[:, names.index(name)]
            np.testing.assert_allclose(got, want.transform(filled.transform(here[[name]]))[:, 0], atol=1e-6)
        np.testing.assert_array_equal(part.x[:, names.index("income is missing")], here["income"].isna())
        hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train[["town"]].dropna())
        columns = [names.index(f"town={c}") for c in ("Bonn", "Rom", "Ulm")] + [names.index("town is missing")]
        np.testing.assert_array_equal(part.x[:, columns[:3]], hot.transform(here[["town"]].fillna("?")))
        np.testing.assert_array_equal(part.x[:, columns[3]], here["town"].isna())
        np.testing.assert_array_equal(part.x[:, names.index("smoker")], here["smoker"])
        assert part.x[:, names.index("always")].eq(0).all()
        rank = here[["size"]].apply(lambda c: c.cat.codes).to_numpy() / 2
        train_rank = train[["size"]].apply(lambda c: c.cat.codes).to_numpy() / 2
        want_rank = StandardScaler().fit(train_rank).transform(rank) if span == "standard" else rank
        np.testing.assert_allclose(part.x[:, [names.index("size")]], want_rank, atol=1e-6)
        y = StandardScaler().fit(train[["y"]]).transform(here[["y"]])
        np.testing.assert_allclose(part.y, y, atol=1e-6)
        np.testing.assert_allclose(data.encoder.target.unscale(part.y)[:, 0], here["y"], rtol=1e-5)
    assert any("'income' is missing in" in note for note in data.encoder.inputs.notes)


def test_what_stands_in_for_a_gap_is_written_as_people_write_it(tmp_path):
    """A mean of days was `1.974e+04`, one of incomes `5.859e+04`."""
    rows = [f"{'' if i % 10 == 3 else f'2024-01-{1 + i % 2 * 2:02}'},{'' if i % 10 == 7 else 58_000 + 1_000 * (i % 3)},{'ab'[i % 2]}"
            for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["day,income,y", *rows]) + "\n")
    notes = prepare(load(tmp_path / "t.csv", target="y"), seed=1).encoder.inputs.notes
    day, income = (next(note for note in notes if f"'{name}' is missing" in note) for name in ("day", "income"))
    assert "rows: the mean 2024-01-0" in day
    assert re.search(r"rows: the mean 5[89],\d{3} stands in, and an input of its own says so\.", income)


def test_large_offsets_keep_their_precision():
    """Seconds since 1970 differ in the tenth digit: float32 before the mean is taken off would lose them."""
    stamps = 1.7e9 + np.arange(100.0)
    data = prepare(load((stamps[:, None], np.arange(100.0) / 7)))
    rows = data.train.rows.numpy()
    np.testing.assert_allclose(data.train.x, StandardScaler().fit_transform(stamps[rows, None]), atol=1e-5)


@pytest.mark.parametrize("span", ["standard", "unit"])
def test_arrays_are_scaled_by_feature_and_stacks_as_a_whole(span):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (50, 4)) * [1, 10, 0, 1000], rng.normal(size=50)
    data = prepare(load((x, y)), range=span)
    train = x[data.train.rows]
    want = (StandardScaler if span == "standard" else MinMaxScaler)().fit(train).transform(train)
    np.testing.assert_allclose(data.train.x, want, atol=1e-5)
    cube = rng.normal(3, 2, (50, 2, 5, 5)).astype(np.float32)
    data = prepare(load((cube, y)), range=span)
    train = cube[data.train.rows]
    low, spread = (train.mean(), train.std()) if span == "standard" else (train.min(), np.ptp(train))
    np.testing.assert_allclose(data.train.x, (train - low) / spread, atol=1e-5)
    assert data.input_shape == (2, 5, 5)


def test_pixels_stay_bytes_until_ready():
    rng = np.random.default_rng(0)
    for most, divisor in ((256, 255), (17, 16)):
        x = rng.integers(0, most, (60, 6, 6), np.uint8)
        data = prepare(load((x, np.arange(60) % 3)))
        assert data.train.x.dtype == torch.uint8
        ready = data.ready(data.train.x)
        assert ready.dtype == torch.float32
        np.testing.assert_allclose(ready[:, 0], x[data.train.rows] / np.float32(divisor), rtol=1e-6)
    flat = prepare(load((x, np.arange(60) % 3)), flatten=True)
    assert (flat.input_shape, flat.train.x.shape[1:], flat.train.x.dtype) == ((36,), (36,), torch.uint8)
    assert prepare(load("digits")).encoder.inputs.maximum == 16


def test_few_valued_bytes_are_features_and_not_pixels():
    x = np.random.default_rng(0).integers(0, 4, (60, 3), np.uint8)
    data = prepare(load((x, np.arange(60) % 3)))
    np.testing.assert_allclose(data.train.x, StandardScaler().fit_transform(x[data.train.rows].astype(float)), atol=1e-6)


def sources():
    rng = np.random.default_rng(0)
    return {"table": load(people()), "pixels": load((rng.integers(0, 256, (40, 5, 5), np.uint8), np.arange(40) % 4)),
            "array": load((rng.normal(size=(40, 3)), rng.normal(size=(40, 2)))), "iris": load("iris")}


@pytest.mark.parametrize("name", ["table", "pixels", "array", "iris"])
def test_an_encoder_comes_back_from_tensors_and_json_exactly(name, tmp_path):
    from safetensors.torch import load_file, save_file

    source = sources()[name]
    encoder = prepare(source).encoder
    tensors, meta = encoder.to_state()
    save_file(tensors, tmp_path / "e.safetensors")
    back = Encoder.from_state(load_file(tmp_path / "e.safetensors"), json.loads(json.dumps(meta)))
    assert torch.equal(back.inputs.encode(source), encoder.inputs.encode(source))
    assert torch.equal(back.inputs.ready(back.inputs.encode(source)), encoder.inputs.ready(encoder.inputs.encode(source)))
    assert torch.equal(back.target.encode(source), encoder.target.encode(source))
    assert torch.equal(back.target.unscale(back.target.encode(source)), encoder.target.unscale(encoder.target.encode(source)))
    assert back.to_state()[1] == meta
    assert (back.target.classes, back.target.names, back.inputs.input_shape, back.target.outputs) == (
        encoder.target.classes, encoder.target.names, encoder.inputs.input_shape, encoder.target.outputs)
    with pytest.raises(InputError, match="format 99"):
        Encoder.from_state(tensors, {**meta, "format": 99})


def test_targets_of_each_kind():
    frame = pd.DataFrame({"x": np.arange(30.0), "y": ["b", "a"] * 15})
    source = load(frame)
    assert prepare(source).encoder.target.encode(source).tolist() == [1, 0] * 15
    signs = prepare(source, target="sign")
    assert signs.encoder.target.encode(source).tolist() == [1.0, -1.0] * 15
    assert (signs.outputs, signs.target_kind, signs.classes) == (1, "sign", ("a", "b"))
    turned = prepare(source, target="sign", classes=["b", "a"])
    assert turned.encoder.target.encode(source).tolist() == [-1.0, 1.0] * 15
    none = prepare(source, target="none")
    assert (none.train.y, none.outputs, none.target_kind) == (None, 0, "none")
    digits = load("digits")
    real = prepare(digits, target="real")
    values = real.encoder.target.unscale(real.train.y)[:, 0]
    np.testing.assert_allclose(values, digits.targets[real.train.rows], atol=1e-5)
    numbers = load((np.ones((30, 1)) * np.arange(30)[:, None], np.array([3.0, 7, 30] * 10)[:30] + 0.5))
    assert prepare(numbers, target="class").classes == ("3.5", "7.5", "30.5")


def test_new_data_that_do_not_fit_are_refused_in_one_sentence():
    frame = people()
    encoder = prepare(load(frame)).encoder
    with pytest.raises(InputError, match=r"lacks 1 of the 6 columns that training read: 'income'\. Is it there as incomes\?"):
        encoder.inputs.encode(frame.rename(columns={"income": "incomes"}))
    with pytest.raises(InputError, match=r"lacks 2 of the 6 columns that training read: 'age', 'income'\. Add them\."):
        encoder.inputs.encode(frame.drop(columns=["age", "income"]))
    with pytest.raises(InputError, match="row 2, column 'age': expected a number as in training; got 'old'"):
        encoder.inputs.encode(frame.head(3).assign(age=[None, "old", "young"]))
    with pytest.raises(InputError, match="column 'size' holds 'xl'; training knew s, m, l"):
        encoder.inputs.encode(frame.head(2).assign(size=["xl", "s"]))
    with pytest.raises(InputError, match="expected a table with the columns age, income"):
        encoder.inputs.encode(np.ones((3, 6)))
    pixels = prepare(sources()["pixels"]).encoder
    with pytest.raises(InputError, match=r"rows of shape \(1, 6, 6\); the network was trained on \(1, 5, 5\)"):
        pixels.inputs.encode(np.zeros((2, 6, 6), np.uint8))
    with pytest.raises(InputError, match="trained on pixels of uint8"):
        pixels.inputs.encode(np.zeros((2, 1, 5, 5)))
    with pytest.raises(InputError, match="is a table"):
        pixels.inputs.encode(load("iris"))


def test_columns_that_training_did_not_read_are_told_of_and_passed_over():
    frame, said = people(), []
    encoder = prepare(load(frame)).encoder
    assert torch.equal(encoder.inputs.encode(frame.assign(id=range(len(frame))), say=said.append), encoder.inputs.encode(frame))
    assert said == ["the data has the column 'id' that training did not read; passed over."]


def test_unseen_categories_are_none_of_the_known_ones_and_numbers_may_stand_for_words():
    frame = pl.DataFrame({"code": ["1", "2", "x"] * 20, "y": [0, 1, 0] * 20})
    encoder = prepare(load(frame)).encoder
    assert encoder.inputs.feature_names == ("code=1", "code=2", "code=x")
    new = encoder.inputs.encode(pl.DataFrame({"code": ["x", "new", None, "2"]}))
    assert new.sum(1).tolist() == [1, 0, 0, 1]
    assert torch.equal(encoder.inputs.encode(pl.DataFrame({"code": [2, 1]})), encoder.inputs.encode(pl.DataFrame({"code": ["2", "1"]})))


def test_free_text_and_names_of_rows_are_left_out_and_hundreds_of_categories_have_an_input_each():
    n = 4000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"id": [f"p{i}" for i in range(n)], "zip": [f"z{int(v)}" for v in rng.exponential(80, n)], "x": rng.normal(size=n),
                          "y": rng.normal(size=n)})
    encoder = prepare(load(frame)).encoder
    assert not any(name.startswith("id") for name in encoder.inputs.feature_names)
    train = {str(v) for v in frame["zip"].gather(prepare(load(frame)).train.rows.numpy())}
    assert 256 < len(train) == sum(name.startswith("zip=") for name in encoder.inputs.feature_names)
    assert [note.split("'")[1] for note in encoder.inputs.notes] == ["id"]
    few = pl.DataFrame({"name": [f"car {i}" for i in range(30)], "x": rng.normal(size=30), "y": rng.normal(size=30)})
    assert prepare(load(few)).encoder.inputs.feature_names == ("x",)
    with pytest.raises(InputError, match="no input column is left"):
        prepare(load(frame.select("id", "y")))


def test_bounded_targets_lie_between_minus_one_and_one():
    """The extremes of the training rows are the ends; what is read back is what was given."""
    data = prepare(load("diabetes"), bounded=True)
    y = data.train.y
    assert float(y.min()) == pytest.approx(-1)
    assert float(y.max()) == pytest.approx(1)
    given = data.source.targets[data.train.rows].reshape(-1, 1).double()
    torch.testing.assert_close(data.encoder.target.unscale(y).double(), given, rtol=1e-5, atol=1e-3)
