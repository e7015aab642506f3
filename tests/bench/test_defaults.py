"""The race of the defaults counts as it says, and gives every side the same rows; the public tables themselves are not needed here."""

import numpy as np
import pandas as pd
import pytest

from chainrule.bench import defaults
from chainrule.bench.tables import TABLES, Table, words_and_numbers
from chainrule.core.errors import InputError


def row(ours, *peers):
    return defaults.Row(Table("t", pd.DataFrame, "y", True), 9,
                        {defaults.OURS: ours, **dict(zip(defaults.PEERS, peers, strict=True))}, [1.0])


def test_ours_is_held_against_the_best_mean_of_the_peers():
    one = row([0.8, 0.9], [0.7, 0.7], [0.6, 1.0], [0.95, 0.55])
    assert one.best == "boosting"
    assert one.above == pytest.approx(0.85 - 0.8)


def test_near_and_far_are_counted_over_the_tables():
    rows = [row([v], [0.5], [0.5], [0.5]) for v in (0.9, 0.5, 0.491, 0.48, 0.4)]
    text = "\n".join(defaults.lines_of(rows, 1))
    assert "on 3 of 5; target at least 4: MISSED" in text
    assert "furthest below: 0.100; target at most 0.03: MISSED" in text
    assert (text.count("  below  "), text.count("FAR BELOW")) == (1, 1)
    good = "\n".join(defaults.lines_of(rows[:3], 1))
    assert good.count("reached") == 2


def test_the_tables_are_those_that_were_named():
    assert sum(table.classes for table in TABLES.values()) == 14
    assert len(TABLES) == 25


def test_rows_without_a_target_are_left_out_and_classes_are_words():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["u", "v", "u"], "y": [0.0, np.nan, 1.0]})
    table = Table("t", lambda: frame, "y", True)
    assert table.frame()["y"].tolist() == ["0.0", "1.0"]
    assert words_and_numbers(frame, "y") == (["b"], ["a"])
    assert len(Table("t", lambda: frame, "a", False, most=2).frame()) == 2


def test_the_peers_learn_from_the_training_rows_alone():
    """The least squares line of the training rows, ridge and all, in closed form; the test rows lie on another line."""
    x = np.arange(40.0)
    y = np.where(x < 30, 2 * x + 1, 500 - x)
    train, test = np.arange(30), np.arange(30, 40)
    found = defaults.peers_reach(Table("t", pd.DataFrame, "y", False), pd.DataFrame({"x": x, "y": y}), train, test, 0)["linear"]
    slope = 2 * 30 / 31  # of standardised numbers: x'y / (x'x + 1)
    answer = y[train].mean() + slope * (x[test] - x[train].mean())
    assert found == pytest.approx(1 - ((y[test] - answer) ** 2).sum() / ((y[test] - y[test].mean()) ** 2).sum())


def test_an_unknown_table_is_refused_with_the_nearest(monkeypatch):
    monkeypatch.setattr(defaults, "NEEDS", ())
    with pytest.raises(InputError, match=r"no table called 'irs'.*iris"):
        defaults.main(only="irs")
