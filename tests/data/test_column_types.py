"""What columns become of dates, of many categories, of ids, and of frames that have types of their own."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from chainrule.core.errors import InputError
from chainrule.data import dates
from chainrule.data.encode import features
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading


def test_parts_of_a_date_are_those_of_the_calendar():
    """Against Python's own calendar, over 400 years and a half of random instants."""
    draw = np.random.default_rng(0)
    stamps = draw.integers(-9_000_000_000, 7_000_000_000, 500)
    days = torch.tensor(stamps / 86_400, dtype=torch.float64)
    held = [datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(s)) for s in stamps]
    assert dates.part_of(days, "month").tolist() == [d.month - 1 for d in held]
    assert dates.part_of(days, "weekday").tolist() == [d.weekday() for d in held]
    np.testing.assert_allclose(dates.part_of(days, "hour"), [d.hour + d.minute / 60 + d.second / 3600 for d in held], atol=1e-4)
    words = pl.Series([d.strftime("%d/%m/%Y %H:%M:%S") for d in held])
    np.testing.assert_allclose(dates.parse(words).days("dmy"), days, rtol=0, atol=1e-9)
    iso = pl.Series([d.isoformat(" ") for d in held])
    np.testing.assert_allclose(dates.parse(iso).days(""), days, rtol=0, atol=1e-9)


@pytest.mark.parametrize("word", ["2019-02-29", "2020-13-01", "2020-00-10", "1900-02-29", "2020-01-01 24:00", "2020-01-01 10:61", "1.2.3"])
def test_days_that_do_not_exist_are_none(word):
    assert np.isnan([days[0] for days in dates.parse(pl.Series([word])).under.values()]).all()


def test_a_date_is_read_as_time_and_turns_that_vary_and_gaps_are_marked():
    days = [datetime.date(2020, 1, 6) + datetime.timedelta(7 * i) for i in range(60)]  # Mondays of more than a year
    frame = pl.DataFrame({"day": [None if i % 10 == 9 else d for i, d in enumerate(days)], "y": np.arange(60) % 2})
    data = prepare(load(frame))
    assert data.encoder.inputs.feature_names == ("day", "day: sine of the month", "day: cosine of the month", "day is missing")
    row = int(data.train.rows[0])
    angle = 2 * np.pi * (days[row].month - 1) / 12
    np.testing.assert_allclose(data.train.x[0, 1:3], [np.sin(angle), np.cos(angle)], atol=1e-6)
    gap = data.encoder.inputs.encode(pl.DataFrame({"day": [None]}, schema={"day": pl.Date}))
    assert gap[0].tolist() == pytest.approx([0, 0, 0, 1], abs=1e-6)
    first = min(int(r) for r in data.train.rows)
    unit = prepare(load(frame), range="unit")
    assert float(unit.encoder.inputs.encode(frame[first : first + 1])[0, 0]) == 0, "the time is counted from the first"


def test_dates_in_a_stored_table_are_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    frame = pl.DataFrame({"at": [datetime.datetime(2020, 1, 1, 5) + datetime.timedelta(hours=7 * i) for i in range(300)],
                          "ref": [2**60 + i // 30 for i in range(300)], "y": np.arange(300) % 2})
    frame.write_parquet(tmp_path / "t.parquet")
    whole, disk = (prepare(load(tmp_path / "t.parquet", stream=stream, say=lambda _: None)) for stream in (False, True))
    assert whole.encoder.inputs.features.columns == disk.encoder.inputs.features.columns
    assert [c.kind for c in whole.encoder.inputs.features.columns] == ["date", "categorical"]
    assert whole.encoder.inputs.features.columns[0].parts == ("month", "weekday", "hour")
    torch.testing.assert_close(disk.train.x[:], whole.train.x, rtol=1e-6, atol=1e-6)


def grouped(categories, each, seed=0):
    """Rows whose class depends on a category alone, with three in a hundred turned over."""
    draw = np.random.default_rng(seed)
    side = draw.integers(0, 2, categories)
    code = draw.permutation(np.repeat(np.arange(categories), each))
    y = side[code] ^ (draw.random(len(code)) < 0.03)
    return pl.DataFrame({"shop": [f"s{c}" for c in code], "y": np.where(y, "v", "u")})


def accuracy(data):
    part = data.door.open("test")
    return LogisticRegression(C=100, max_iter=400).fit(data.train.x.numpy(), data.train.y.numpy()).score(part.x.numpy(), part.y.numpy())


def test_categories_past_the_256th_are_learned_as_well_as_by_one_hot():
    frame = grouped(1000, 12)
    data = prepare(load(frame))
    rows = [part.rows.numpy() for part in (data.train, data.door.open("test"))]
    hot = OneHotEncoder(handle_unknown="ignore").fit(frame[["shop"]].to_pandas().iloc[rows[0]])
    train, test = (hot.transform(frame[["shop"]].to_pandas().iloc[r]) for r in rows)
    y = frame["y"].to_numpy()
    reference = LogisticRegression(C=100, max_iter=400).fit(train, y[rows[0]]).score(test, y[rows[1]])
    assert reference > 0.93
    assert accuracy(data) == pytest.approx(reference, abs=0.01)


def test_where_memory_allows_fewer_inputs_rare_categories_share_some(monkeypatch):
    monkeypatch.setattr(features, "ONE_HOT_BYTES", 0)
    data = prepare(load(grouped(400, 30)))
    fitted = data.encoder.inputs.features.columns[0]
    assert (len(fitted.categories), len(fitted.rare), fitted.shared, len(fitted.outputs)) == (128, 272, 128, 256)
    assert "400 categories: the 128 most frequent have an input each, each of the others 2 of 128" in data.encoder.inputs.notes[0]
    sums = data.train.x.sum(1)
    own = np.isin(data.source.inputs["shop"].values[data.train.rows],
                  [data.source.inputs["shop"].categories.index(c) for c in fitted.categories])
    assert sums.tolist() == [1.0 if o else 2.0 for o in own]
    codes = {tuple(features.hashed(word, 128)) for word in fitted.rare}
    assert len(codes) > 260, "few rare words share both of their inputs"
    first_only = data.train.x[:, :128]
    assert accuracy(data) > 0.75 > first_only.sum(1).mean(), "the rare ones are most rows and are told apart"
    strange = data.encoder.inputs.encode(pl.DataFrame({"shop": ["nowhere"]}), say=lambda _: None)
    assert float(strange.sum()) == 0


def test_ids_of_64_bits_group_rows_exactly():
    ids = [2**61 + i // 4 for i in range(200)]
    for frame in (pl.DataFrame({"ref": ids, "x": np.arange(200) / 7, "y": np.arange(200) % 2}),
                  pd.DataFrame({"ref": ids, "x": np.arange(200) / 7, "y": np.arange(200) % 2})):
        source = load(frame, group="ref")
        assert len(source.groups.unique()) == 50
    nanoseconds = [10**18 + 10**9 * i for i in range(200)]
    frame = pl.DataFrame({"t": nanoseconds, "y": np.arange(200) % 2})
    assert load(frame).inputs["t"].kind == "numeric", "they differ in double precision too"


def test_a_frame_keeps_its_types_unless_told_otherwise():
    frame = pl.DataFrame({"price": ["$1,200", "$85,315.52"] * 15, "zip": [1234, 99999, 501] * 10, "x": [-999.0, 1.5, 2.5] * 10,
                          "day": ["03/04/2020", "05/06/2021"] * 15, "y": ["u", "v", "v"] * 10})
    plain = load(frame)
    assert plain.notes == ("'price' holds words such as '$1,200'; --columns price:number reads them as numbers.",
                           "'day' holds words such as '03/04/2020'; --columns day:date reads them as dates.")
    assert [c.kind for c in plain.inputs.columns] == ["categorical", "numeric", "numeric", "categorical"]
    told = load(frame, reading=Reading(columns="price:number,zip:word,day:date", missing="-999", dates="mdy"))
    assert [c.kind for c in told.inputs.columns] == ["numeric", "categorical", "numeric", "date"]
    assert told.inputs["price"].values[:2].tolist() == [1200, 85315.52]
    assert told.inputs["zip"].categories == ("501", "1234", "99999")
    assert told.inputs["x"].missing[:3].tolist() == [True, False, False]
    assert told.inputs["day"].word(0) == "2020-03-04"
    with pytest.raises(InputError, match="--columns x:date needs words such as 2026-01-31; the column holds numbers"):
        load(frame, reading=Reading(columns="x:date"))
    apart = load((frame.drop("y"), frame["y"]), reading=Reading(columns="price:number,day:out"))
    assert apart.inputs.names == ("price", "zip", "x")


def test_what_leaves_both_orders_open_is_decided_by_the_column_that_does_not(tmp_path):
    """The same words, once beside dates with the month first and once with the day first."""
    for order, other in (("mdy", "12/25/2020"), ("dmy", "25/12/2020")):
        rows = "".join(f"0{1 + i % 9}/0{1 + (i * 5) % 9}/2020,{other},{i % 2}\n" for i in range(30))
        (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
        source = load(tmp_path / "t.csv", say=lambda _: None)
        assert source.formats["a"].order == source.formats["b"].order == order
        assert source.inputs["a"].word(1) == ("2020-02-06" if order == "mdy" else "2020-06-02")
