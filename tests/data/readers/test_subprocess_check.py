"""Files whose parser may end the process: it ends another one, and a sentence says so."""

import io
import random
import sys

import polars as pl
import pytest

from chainrule.core.errors import ChainruleError, CorruptFile
from chainrule.data.load import load
from chainrule.data.readers import subprocess_check
from chainrule.data.readers.subprocess_check import check_readable


def frame(rows=50):
    number = range(rows)
    return pl.DataFrame({"a": number, "b": [str(i % 7) for i in number], "c": [i / 3 for i in number], "y": [i % 2 for i in number]})


@pytest.mark.parametrize(("ending", "words"), [
    ("import os; os.abort()", "ended with SIGABRT"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with SIGSEGV"),
    ("import sys; sys.exit(9)", "ended with status 9"),
])
def test_a_process_that_ends_badly_is_a_damaged_file(ending, words, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess_check, "PROGRAM", ending)
    frame().write_parquet(tmp_path / "t.parquet")
    with pytest.raises(CorruptFile, match=words):
        check_readable(tmp_path / "t.parquet", "parquet")


def test_a_sound_file_is_read_once_while_it_stays_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    frame().write_parquet(path)
    check_readable(path, "parquet")
    monkeypatch.setattr(sys, "executable", "/no/such/python")     # would be told
    monkeypatch.setattr(subprocess_check.subprocess, "run", None)
    check_readable(path, "parquet")
    frame(51).write_parquet(path)
    with pytest.raises(TypeError):
        check_readable(path, "parquet")


def test_where_no_process_can_be_started_the_file_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    frame().write_parquet(tmp_path / "t.parquet")
    assert len(load(tmp_path / "t.parquet")) == 50


def mutants(count):
    """Sound Parquet files, compressed in several ways, with bytes changed or cut off, mostly in the footer, which has the sizes."""
    rng = random.Random(3)
    for number in range(count):
        whole = io.BytesIO()
        frame().write_parquet(whole, compression=("uncompressed", "zstd", "snappy")[number % 3])
        raw = bytearray(whole.getvalue())
        for _ in range(rng.choice((1, 2, 4))):
            at = rng.randrange(len(raw) * 2 // 3, len(raw)) if rng.random() < 0.7 else rng.randrange(len(raw))
            raw[at] = rng.randrange(256)
        yield bytes(raw)


def refused(folder, count):
    outcomes = []
    for number, raw in enumerate(mutants(count)):
        path = folder / f"{number}.parquet"
        path.write_bytes(raw)
        try:
            load(path, target="y")
            outcomes.append(False)
        except ChainruleError as error:
            assert str(path) in str(error), error
            outcomes.append(True)
    return outcomes


def test_mutated_parquet_files_are_read_or_refused(tmp_path):
    assert any(refused(tmp_path, 12))


@pytest.mark.slow
def test_many_mutated_parquet_files_are_read_or_refused(tmp_path):
    assert any(refused(tmp_path, 400))
