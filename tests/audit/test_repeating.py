"""Columns that the encoding itself makes dependent are no findings about the data."""

import numpy as np
import pytest

from chainrule.audit.columns import repeating
from chainrule.data.load import load
from chainrule.data.prepare import prepare


@pytest.mark.parametrize("towns", [("Bonn", "Rom", "Ulm"), ("Bonn",)])
def test_categories_with_gaps_are_not_called_sums_of_one_another(tmp_path, towns):
    """Of `towns` with gaps one input is 1 in each row, and the sum of all is 1; so the last town follows from the others."""
    g = np.random.default_rng(0)
    rows = [f"{g.choice([*towns, ''])},{g.normal():.6f},{'ab'[i % 2]}" for i in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["town,size,y", *rows]) + "\n")
    data = prepare(load(tmp_path / "t.csv", target="y"), seed=1)
    names = list(data.encoder.inputs.feature_names)
    assert "town is missing" in names
    assert repeating(data, data.train.x, names) == []
