"""Columns that a net can learn nothing from are named: those with one value, and those that one value far from all others makes flat."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch

from chainrule.data.encode.flattened import FLAT, flattened
from chainrule.data.encode.moments import Moments
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading

DRAW = np.random.default_rng(0)
N = 120
SMALL = DRAW.uniform(0, 10, N)
ALL = {"train": 0.9, "valid": 0.1}


def notes_of(columns, target="y", **more):
    frame = pl.DataFrame({**columns, "y": np.arange(N) % 2} if target == "y" else columns)
    source = load(frame, target=target, **more)
    data = prepare(source, split=ALL, seed=0)
    return data, [note for note in data.encoder.inputs.notes if "influence" in note or "so far from" in note]


def put(values, row, value):
    return np.array([value if i == row else v for i, v in enumerate(values)])


def trained_row(columns):
    """A row that is of the training part, whichever values it has."""
    return int(notes_of(columns)[0].train.rows[7])


def found(values):
    x = torch.as_tensor(np.asarray(values, dtype=np.float64))
    return dict(flattened(Moments.of(x[:, None]), lambda _: [x]))


@pytest.mark.parametrize("value", [1e12, -1e12, 1e7])
def test_a_value_that_makes_all_others_alike_is_named_by_row_and_column(value):
    row = trained_row({"a": SMALL, "b": SMALL})
    data, notes = notes_of({"a": SMALL, "b": put(SMALL, row, value)})
    others = data.train.x[data.train.rows != row, 1]
    assert float(others.std()) < 1e-3
    assert len(notes) == 1
    assert notes[0].startswith(f"'b' is {value:.15g} in row {row + 1}, so far from all other rows")
    assert "--columns b:out" in notes[0]


def test_a_code_for_missing_values_in_many_rows_is_one_such_value():
    values = np.where(np.arange(N) % 10 == 3, -99_999_999, SMALL)
    _, notes = notes_of({"a": values})
    assert len(notes) == 1
    assert "rows, the first of them row " in notes[0]
    assert "stands for a missing value" in notes[0]


def test_a_day_without_end_makes_dates_alike():
    days = [date(2024, 1, 1 + i % 28) for i in range(N)]
    row = trained_row({"day": days})
    days[row] = date(9999, 12, 31)
    _, notes = notes_of({"day": days})
    assert len(notes) == 1
    assert f"'day' is 9999-12-31 in row {row + 1}" in notes[0]


def test_targets_features_of_arrays_and_steps_of_a_series_are_told_of_too(tmp_path):
    x = np.stack([SMALL, SMALL[::-1]], 1)
    row = int(prepare(load((x, SMALL)), split=ALL, seed=0).train.rows[5])
    said = [note for note in prepare(load((x, put(SMALL, row, 1e12))), split=ALL, seed=0).encoder.inputs.notes if "so far" in note]
    assert len(said) == 1
    assert said[0].startswith(f"The target 'target' is 1000000000000 in row {row + 1}")
    x[row, 1] = 1e12
    said = [note for note in prepare(load((x, SMALL)), split=ALL, seed=0).encoder.inputs.notes if "so far" in note]
    assert len(said) == 1
    assert said[0].startswith(f"Feature 2 is 1000000000000 in row {row + 1}")
    pl.DataFrame({"y": put(SMALL, 9, 1e12)}).write_csv(tmp_path / "s.csv")
    series = prepare(load(tmp_path / "s.csv", target="y", reading=Reading(horizon=2, lags=4)))
    assert any(note.startswith("'y' is 1000000000000 in step 10") for note in series.encoder.inputs.notes)


def test_rows_on_disk_are_told_of_as_those_in_memory(tmp_path):
    row = trained_row({"a": SMALL})
    pl.DataFrame({"a": put(SMALL, row, 1e12), "same": [3.0] * N, "y": np.arange(N) % 2}).write_parquet(tmp_path / "t.parquet")
    said = [prepare(load(tmp_path / "t.parquet", target="y", stream=stream), split=ALL, seed=0).encoder.inputs.notes
            for stream in (False, True)]
    assert said[0] == said[1]
    assert [note[:10] for note in said[0]] == ["'a' is 100", "1 input co"]


TAILS = {
    "normal": lambda draw, n: draw.normal(size=n),
    "exponential": lambda draw, n: draw.exponential(size=n),
    "incomes": lambda draw, n: np.round(30_000 * np.exp(draw.normal(size=n))),
    "log-normal of a wide spread": lambda draw, n: np.exp(2.5 * draw.normal(size=n)),
    "Pareto 2": lambda draw, n: draw.pareto(2, n),
    "Pareto 1.5": lambda draw, n: draw.pareto(1.5, n),
    "t of 2 degrees": lambda draw, n: draw.standard_t(2, n),
    "counts": lambda draw, n: draw.geometric(0.3, n).astype(float),
    "mostly 0, else large": lambda draw, n: np.where(draw.random(n) < 0.92, 0, np.exp(draw.normal(8, 1, n))),
    "yes in one row": lambda draw, n: (np.arange(n) == draw.integers(n)).astype(float),
    "0 and a million": lambda draw, n: 1e6 * (draw.random(n) < 0.1),
    "large offset": lambda draw, n: 1e9 + draw.normal(size=n),
}


@pytest.mark.parametrize("tail", TAILS)
def test_ordinary_heavy_tails_are_not_told_of(tail):
    for seed in range(60):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(20, 5_000))
        assert found(TAILS[tail](draw, n)) == {}, (seed, n)


def test_the_rule_is_the_spread_of_the_others_in_units_of_that_of_all():
    """By hand: on either side of FLAT, for one row and for several."""
    for count in (1, 7):
        for far in np.geomspace(1e2, 1e9, 40):
            values = np.concatenate([SMALL, np.full(count, far)])
            share = SMALL.std() / values.std()
            if not 0.999 < share / FLAT < 1.001:
                assert bool(found(values)) == (share < FLAT), (count, far)


def test_constant_columns_are_named_once_and_have_no_influence(tmp_path):
    columns = {"a": SMALL, "n": [4.0] * N, "yes": [True] * N, "unit": ["cm"] * N, "gap": [None if i % 9 == 1 else 2.0 for i in range(N)]}
    data, notes = notes_of(columns)
    assert notes == ["3 input columns have one and the same value in all 108 training rows, and so no influence: 'n', 'yes', 'unit'."]
    other = pl.DataFrame({"a": SMALL[:2], "n": [4.0, 5.0], "yes": [True, False], "unit": ["cm", "m"], "gap": [2.0, 2.0]})
    x = data.encoder.inputs.encode(load(other, target="none"))
    assert bool((x[0, 1:] == x[1, 1:]).all())


def test_many_constant_columns_are_one_short_note():
    _, notes = notes_of({"a": SMALL, **{f"c{i}": [1.5] * N for i in range(30)}})
    assert len(notes) == 1
    assert "30 input columns" in notes[0]
    assert notes[0].endswith("'c9' and more.")
