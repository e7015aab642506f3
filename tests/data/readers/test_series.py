"""A table as a series: windows are slices, parts share no step that is foretold, gaps are named or closed, the future is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.lagged import Lagged, Lagging, usual_lags
from chainrule.data.load import load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading

STEPS, LAGS, HORIZON = 60, 5, 3


def table(steps: int = STEPS, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"day": pd.date_range("2021-03-01", periods=steps, freq="D").astype(str), "y": rng.normal(size=steps).cumsum(),
                         "x": rng.normal(size=steps)})


def read(frame: pd.DataFrame, tmp_path, *, target="y", time="day", **reading):
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    return cr.load(path, target=target, time=time, reading=Reading(**{"horizon": HORIZON, "lags": LAGS, **reading}), say=lambda _: None)


def test_rows_are_slices_of_the_series_and_targets_what_follows(tmp_path):
    frame = table()
    source = read(frame, tmp_path)
    series: Lagged = source.inputs
    values = frame[["y", "x"]].to_numpy()
    windows = series.windows(series.values)
    assert len(source) == len(windows) == STEPS - LAGS - HORIZON + 1
    for row in (0, 7, len(source) - 1):
        np.testing.assert_allclose(windows[row, :, :2], values[row : row + LAGS])
        np.testing.assert_allclose(source.targets[row], values[row + LAGS : row + LAGS + HORIZON, 0])
    assert windows.untyped_storage().data_ptr() == series.values.untyped_storage().data_ptr()
    assert source.target_names == ("y +1", "y +2", "y +3")
    assert series.form.names == ("y", "x", "sine of the weekday", "cosine of the weekday")
    angle = 2 * np.pi * pd.to_datetime(frame["day"]).dt.day_of_week.to_numpy() / 7
    np.testing.assert_allclose(series.values[:, 2:], np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-12)


def test_several_targets_are_foretold_step_by_step(tmp_path):
    frame = table()
    source = read(frame, tmp_path, target="x,y")
    assert source.inputs.form.targets == ("x", "y")
    np.testing.assert_allclose(source.targets[4], frame[["x", "y"]].to_numpy()[4 + LAGS : 4 + LAGS + HORIZON].reshape(-1))
    assert source.target_names[:3] == ("x +1", "y +1", "x +2")


@pytest.mark.parametrize("lags", [1, 5, 9])
def test_no_step_is_foretold_in_two_parts_and_lags_do_not_move_the_borders(tmp_path, lags):
    source = read(table(), tmp_path, lags=lags)
    data = prepare(source)
    parts = [data.train.rows, data.valid.rows, data.door.rows]
    foretold = [{int(row) + lags + ahead for row in rows for ahead in range(HORIZON)} for rows in parts]
    assert not foretold[0] & foretold[1]
    assert not foretold[1] & foretold[2]
    assert set().union(*foretold) == set(range(lags, STEPS))
    assert [min(steps) for steps in foretold[1:]] == [42, 51]


def test_the_encoder_knows_training_steps_alone(tmp_path):
    frame = table()
    source = read(frame, tmp_path)
    data = prepare(source)
    last = int(data.train.rows[-1]) + LAGS + HORIZON
    seen = frame["y"].to_numpy()[:last]
    scale = data.encoder.inputs.scale
    np.testing.assert_allclose(scale[:, 0], [seen.mean(), 1 / seen.std()])
    np.testing.assert_allclose(data.encoder.target.scale[:, 0], [seen.mean(), seen.std()])
    assert data.encoder.inputs.lagging.errors == pytest.approx((np.abs(np.diff(seen)).mean(),))
    frame.loc[last:, ["y", "x"]] *= 100
    again = prepare(read(frame, tmp_path))
    assert torch.equal(again.encoder.inputs.scale, scale)
    np.testing.assert_allclose(data.train.x[3, :, 0], (frame["y"].to_numpy()[3 : 3 + LAGS] - seen.mean()) / seen.std(), rtol=1e-5)
    state = Encoder.from_state(*data.encoder.to_state())
    assert state.inputs.lagging == data.encoder.inputs.lagging


def test_folds_go_forward_and_share_no_step(tmp_path):
    from chainrule.data.splits import kfold

    source = read(table(), tmp_path)
    for divided in kfold(source, 3):
        train, valid = ({int(r) + LAGS + a for r in rows for a in range(HORIZON)} for rows in (divided.train, divided.valid))
        assert max(train) < min(valid)


def gone(frame: pd.DataFrame, *rows: int) -> pd.DataFrame:
    return frame.drop(index=list(rows))


def changed(frame: pd.DataFrame, row: int, column: str, value) -> pd.DataFrame:
    frame = frame.copy()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


def ahead(frame: pd.DataFrame, steps: int, scale: float = 1.0) -> pd.DataFrame:
    return frame.assign(spy=scale * frame["y"].shift(-steps).fillna(0.5))


@pytest.mark.parametrize(("frame", "options", "says"), [
    (gone(table(), 10, 11), {}, r"row 11: 2021-03-13 comes 3 steps of 1 day after 2021-03-10; 2 stamps are missing in all.*--fill"),
    (changed(table(), 20, "day", "2021-03-20"), {}, r"row 21: the stamp 2021-03-20 is there twice \(row 20 has it too"),
    (changed(table(), 20, "day", "2021-03-21 07:30:00"), {}, r"row 21: 2021-03-21T07:30:00 is no whole number of steps after 2021-03-20"),
    (changed(table(), 20, "day", None), {}, "row 21: the stamp 'day' is empty"),
    (changed(table(), 20, "y", None), {}, r"row 21: 'y' is empty; a series needs a value at every step \(1 of 60"),
    (changed(table(), 20, "x", None), {}, "row 21: 'x' is empty"),
    (changed(table(), 0, "y", None), {"fill": "linear"}, "no value at the first step"),
    (table(7), {}, "has 7 steps; 5 lags and a horizon of 3 need at least 8"),
    (table(), {"target": "day", "time": None}, "'day' holds the stamps of the series"),
    (table(), {"target": "z"}, "no column 'z'"),
    (ahead(table(), 2), {}, "'spy' is 'y' 2 steps later, which nobody knows"),
    (ahead(table(), 1, -3.0), {}, "'spy' is 'y' 1 step later"),
])
def test_what_breaks_a_series_is_named_with_its_place_and_a_way_out(frame, options, says, tmp_path):
    if "spy" in frame:
        frame = frame.iloc[:-2]
    with pytest.raises(InputError, match=says) as refusal:
        read(frame, tmp_path, **options)
    assert str(refusal.value).endswith(".")


def test_a_column_of_the_past_and_a_line_are_no_leaks(tmp_path):
    frame = table().assign(before=lambda f: f["y"].shift(1).fillna(0.0), line=np.arange(STEPS) * 2.0)
    assert set(read(frame, tmp_path).inputs.form.others) == {"x", "before", "line"}
    straight = frame.assign(y=np.arange(STEPS) * 1.0, other=np.arange(STEPS) * 3.0)[["day", "y", "other"]]
    assert read(straight, tmp_path).inputs.form.others == ("other",)


@pytest.mark.parametrize(("fill", "expected"), [("forward", [1.0, 1.0, 1.0, 4.0]), ("linear", [1.0, 2.0, 3.0, 4.0])])
def test_missing_stamps_and_values_are_filled_as_pandas_fills_them(fill, expected, tmp_path):
    frame = table()
    frame.loc[10:13, "y"] = [1.0, np.nan, 3.0, 4.0]
    broken = gone(frame, 12, 30, 31)
    series = read(broken, tmp_path, fill=fill).inputs
    index = pd.to_datetime(broken["day"])
    whole = broken.set_index(index)[["y", "x"]].asfreq("D")
    whole = whole.ffill() if fill == "forward" else whole.interpolate("linear")
    np.testing.assert_allclose(series.values[:, :2], whole.to_numpy())
    assert len(series.values) == STEPS
    assert series.values[10:14, 0].tolist() == pytest.approx(expected)


def test_rows_in_another_order_are_sorted_and_that_is_noted(tmp_path):
    shuffled = table().iloc[[*range(30, 60), *range(30)]]
    source = read(shuffled, tmp_path)
    np.testing.assert_allclose(source.inputs.values[:, 0], table()["y"])
    assert any("row 31 is the first" in note for note in source.notes)


def test_rows_without_stamps_and_a_lone_column_are_series_with_a_note(tmp_path):
    source = read(table()[["y"]], tmp_path, target=None, time=None)
    assert source.inputs.form.clock.name == ""
    assert source.inputs.form.targets == ("y",)
    assert any("no stamps" in note for note in source.notes)
    dated = read(table(), tmp_path, time=None)
    assert dated.origin["time"] == "day"
    assert any("'day' holds dates" in note for note in dated.notes)


def test_words_and_numbers_of_rows_are_left_out_with_a_note(tmp_path):
    source = read(table().assign(id=range(STEPS), shop="north"), tmp_path)
    assert source.inputs.form.others == ("x",)
    assert {note.split("'")[1] for note in source.notes if "left out" in note} == {"id", "shop"}
    with pytest.raises(InputError, match="several series are columns side by side"):
        cr.load(tmp_path / "t.csv", target="y", group="shop", reading=Reading(horizon=2))


def test_further_steps_are_read_as_those_of_training_were(tmp_path):
    data = prepare(read(table(), tmp_path))
    later = table(LAGS, seed=3).drop(columns="y").assign(y=[*range(LAGS)], more="?")
    later.to_csv(tmp_path / "later.csv", index=False)
    source = load_inputs(tmp_path / "later.csv", like=data.encoder.inputs)
    assert source.inputs.form.others == ("x",)
    np.testing.assert_allclose(source.inputs.values[:, 0], range(LAGS))
    unknown = later.assign(y=[1.0, 2.0, 3.0, np.nan, np.nan])
    unknown.to_csv(tmp_path / "later.csv", index=False)
    assert len(load_inputs(tmp_path / "later.csv", like=data.encoder.inputs).inputs.values) == 3
    later.drop(columns="x").to_csv(tmp_path / "later.csv", index=False)
    with pytest.raises(InputError, match="'x'"):
        load_inputs(tmp_path / "later.csv", like=data.encoder.inputs)


def test_a_horizon_longer_than_a_part_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the valid part has 9 of 60 steps, fewer than --horizon 12"):
        prepare(read(table(), tmp_path, horizon=12))
    with pytest.raises(InputError, match=r"beside the 40 that are read before"):
        prepare(read(table(), tmp_path, lags=40))


@pytest.mark.parametrize(("unit", "step", "steps", "lags"), [("month", 1.0, 400, 24), ("day", 7.0, 2000, 104), ("day", 1.0, 400, 28),
                                                             ("number", 1.0, 300, 24), ("day", 7.0, 250, 52), ("number", 1.0, 20, 5)])
def test_two_seasons_are_read_where_there_are_enough_steps(unit, step, steps, lags):
    from chainrule.data.clock import Clock

    assert usual_lags(Clock("t", unit == "day", unit, step), steps) == lags


def test_lags_without_a_horizon_are_refused(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="--lags is for a series"):
        cr.load(tmp_path / "t.csv", target="y", reading=Reading(lags=3))


def test_windows_at_the_end_have_no_targets():
    values = torch.arange(20.0)[:, None]
    form = Lagging(("y",), (), cr.data.clock.Clock("", False, "number", 1.0), 4, 2)
    end = Lagged(values, torch.arange(20.0), form, ends=True)
    assert len(end) == 1
    assert end.windows(values).flatten().tolist() == [16, 17, 18, 19]
    assert end.origins.tolist() == [19]
