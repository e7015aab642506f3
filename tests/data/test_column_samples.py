"""Columns of many different words: a sample tells the kind, the whole is parsed as one alone, and a word out of place is named."""

import numpy as np
import polars as pl
import pytest

from chainrule.core.errors import InputError
from chainrule.data import column_types, dates, numerals
from chainrule.data.column_types import MOST_AS_WORDS, SAMPLE, decide
from chainrule.data.load import load
from chainrule.data.reading import USUAL

MANY = 3 * MOST_AS_WORDS


def decided(words):
    return decide({"a": pl.Series(words)}, USUAL, {}, "t.csv")[0]["a"].kind


@pytest.fixture
def parsed(monkeypatch):
    """How many words each parser was given."""
    counts = {"dates": 0, "numbers": 0}
    parse, take_apart = dates.parse, numerals.take_apart

    def as_dates(words):
        counts["dates"] += len(words)
        return parse(words)

    def as_numbers(words):
        counts["numbers"] += len(words)
        return take_apart(words)

    monkeypatch.setattr(column_types.dates, "parse", as_dates)
    monkeypatch.setattr(column_types.numerals, "take_apart", as_numbers)
    return counts


def test_numbers_are_not_all_tried_as_dates(parsed):
    assert decided([f"{i},5" for i in range(MANY)]) == "number"
    assert parsed["dates"] <= SAMPLE


def test_words_are_tried_as_neither(parsed):
    assert decided([f"w{i}x{i % 7}q" for i in range(MANY)]) == "word"
    assert parsed["dates"] <= SAMPLE
    assert parsed["numbers"] <= 3 * SAMPLE


def test_dates_are_still_read_whole():
    days = np.datetime64("1900-01-01") + np.arange(MANY)
    assert decided([str(day) for day in days]) == "date"
    assert decided([*(str(day) for day in days), "unknown-to-all"]) == "date"


def test_few_dates_that_most_rows_have_are_not_overlooked():
    three = ["2024-01-05", "2024-02-05", "2024-03-05"]
    assert decided(three * 40_000 + [f"x{i}" for i in range(2000)]) == "word"                    # ten different ones are asked for
    several = [f"2024-01-{day:02}" for day in range(1, 29)]
    assert decided(several * 4000 + [f"x{i}" for i in range(2000)]) == "date"


def test_a_bad_last_row_is_named(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{i * 0.5},{'pq'[i % 2]}" for i in range(MOST_AS_WORDS + 10)]
    path.write_text("\n".join(["a,y", *rows, "12x4,p"]) + "\n")
    with pytest.raises(InputError, match=rf"t\.csv, row {len(rows) + 1}, column 'a': expected a number, as in most rows; got '12x4'"):
        load(path, target="y")
    path.write_text("\n".join(["a,y", *rows, "12,p,3"]) + "\n")
    with pytest.raises(InputError, match=f"line {len(rows) + 2} has 3 values where 2 are expected"):
        load(path, target="y")
    path.write_text("\n".join(["a,y", *rows, "12,"]) + "\n")
    with pytest.raises(InputError, match=f"row {len(rows) + 1}"):
        load(path, target="y")
