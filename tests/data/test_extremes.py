"""Numbers at the ends of what a float holds: the smallest are scaled like any others, what is too large is refused by row and column."""

import numpy as np
import polars as pl
import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.data.prepare import prepare

SMALLEST = [1e-42, 1e-40, 1e-200, 1e-300]


@pytest.mark.parametrize("size", SMALLEST)
@pytest.mark.parametrize("span", ["standard", "unit"])
def test_tiny_numbers_are_scaled_as_the_same_numbers_of_usual_size(size, span):
    """Scaling takes the unit out: x and x * size are encoded alike, in arrays of both precisions, tables and targets."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 999, (60, 3)) / 8.0, draw.normal(size=60)
    usual = prepare(load((x, y)), range=span)
    arrays = [x * size] if size < 1e-44 else [x * size, (x * size).astype(np.float32)]
    for tiny in arrays:
        data = prepare(load((tiny, y)), range=span)
        assert bool(data.train.x.isfinite().all())
        exact = tiny.dtype == np.float64 and (size > 1e-160 or span == "unit")
        if exact:
            torch.testing.assert_close(data.train.x, usual.train.x, rtol=1e-5, atol=1e-6)
        else:                                                       # a denormal has few digits; squares below 1e-308 are lost
            correlation = np.corrcoef(data.train.x[:, 0], usual.train.x[:, 0])[0, 1]
            assert correlation > 0.99
            assert float(data.train.x.std()) > 0.1
    frame = pl.DataFrame({"a": x[:, 0] * size, "y": y})
    torch.testing.assert_close(prepare(load(frame), range="unit").train.x[:, 0], prepare(load((x, y)), range="unit").train.x[:, 0],
                               rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e39])
def test_what_single_precision_cannot_hold_is_refused_by_row_and_column(tmp_path, value):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    x[6, 1] = value
    with pytest.raises(InputError, match=r"row 7, feature 2: expected a number of at most 3\.4e\+38 in size.*got -?1e\+"):
        load((x, y))
    np.save(tmp_path / "x.npy", x)
    for stream in (False, True):
        with pytest.raises(InputError, match=r"row 7, feature 2: expected a number of at most"):
            load(tmp_path / "x.npy", target=0, stream=stream)
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    for what in (frame, tmp_path / "t.csv", tmp_path / "t.parquet"):
        with pytest.raises(InputError, match=r"row 7, column 'b': expected a number of at most 3\.4e\+38 in size"):
            load(what)
    with pytest.raises(InputError, match=r"row 7, target 'y': expected a number of at most"):
        load((x[:, :1] + 0.5, x[:, 1]))
    with pytest.raises(InputError, match=r"row 7: target number 2: expected a number of at most"):
        load((np.ones((20, 2)), x))


def test_the_largest_of_single_precision_is_read():
    x = np.linspace(-3.4e38, 3.4e38, 40)[:, None]
    data = prepare(load((x, np.arange(40) % 2)))
    want = (x[data.train.rows] - x[data.train.rows].mean()) / x[data.train.rows].std()
    np.testing.assert_allclose(data.train.x, want, atol=1e-5)
