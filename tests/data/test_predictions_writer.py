"""Predictions on disk: the same numbers in every format, and names that a spreadsheet shows instead of running them."""

from __future__ import annotations

import numpy as np
import polars
import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.data.writers.predictions import Table, shielded

VALUES = torch.tensor([[0.25, 0.75], [0.9, 0.1]])


def write(path, columns):
    with Table(path) as table:
        table.add(columns)


def classes(no, yes):
    """The columns of a classification."""
    return {"prediction": [yes, no], f"p({no})": VALUES[:, 0].numpy(), f"p({yes})": VALUES[:, 1].numpy()}


def test_every_format_holds_the_same(tmp_path):
    for suffix in ("csv", "parquet", "npz"):
        write(tmp_path / f"said.{suffix}", classes("no", "yes"))
    expected = {"prediction": ["yes", "no"], "p(no)": VALUES[:, 0].tolist(), "p(yes)": VALUES[:, 1].tolist()}
    for frame in (polars.read_csv(tmp_path / "said.csv"), polars.read_parquet(tmp_path / "said.parquet")):
        assert frame.to_dict(as_series=False)["prediction"] == expected["prediction"]
        assert frame["p(yes)"].to_list() == pytest.approx(expected["p(yes)"])
    with np.load(tmp_path / "said.npz") as stored:
        assert stored["prediction"].tolist() == expected["prediction"]
        assert stored["p(no)"].tolist() == expected["p(no)"]


def test_regression_has_a_column_for_each_target(tmp_path):
    write(tmp_path / "said.csv", {"height": VALUES[:, 0].numpy(), "weight": VALUES[:, 1].numpy()})
    assert polars.read_csv(tmp_path / "said.csv").columns == ["height", "weight"]


@pytest.mark.parametrize(("name", "shown"), [("=1+1", "'=1+1"), ("@cmd", "'@cmd"), ("-x", "'-x"), ("-3.5", "-3.5"), ("plain", "plain")])
def test_formulas_are_quoted_and_negative_numbers_stay_numbers(name, shown):
    assert shielded(name) == shown


def test_an_unknown_format_is_said(tmp_path):
    with pytest.raises(InputError, match=r"\.csv, \.parquet or \.npz"):
        write(tmp_path / "said.xls", classes("a", "b"))
    assert not list(tmp_path.iterdir())
