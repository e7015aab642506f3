"""A pack, the file in which rows stay on disk, that is written to while a training reads it: noticed before any wrong row is used."""

import os
import time

import numpy as np
import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import CorruptFile
from chainrule.core.events import Evaluated
from chainrule.data.load import load
from chainrule.data.storage import blocks
from chainrule.data.storage.blocks import Field, pack, unpack
from chainrule.engine import checkpoint

ROWS = 500
TICK = 0.03         # seconds after which the kernel's clock has certainly gone on, so that a write shows in the times of a file


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of its own, and blocks so small that a few hundred rows make many."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 512)


def packed(path, values):
    pack(path, [Field("x", "<f4", (4,))], len(values), [{"x": values}], "rows", dict)
    return unpack(path)


def numbers(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, 4)).astype(np.float32)


def flip(path, at=700):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def flip_and_put_back_the_time(path):
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewrite(path):
    other = path.with_name("other.rows")
    packed(other, numbers(1))
    path.write_bytes(other.read_bytes())


CHANGES = {"flipped": flip, "flipped, its time put back": flip_and_put_back_the_time, "rewritten with other rows": rewrite,
           "cut short": lambda path: os.truncate(path, 600)}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_found_sound_is_looked_at_again_when_the_file_was_written_to(change, tmp_path):
    opened = packed(tmp_path / "a.rows", numbers())
    every = np.arange(ROWS)
    for _ in range(2):
        np.testing.assert_array_equal(opened.take(every)["x"], numbers())
    time.sleep(TICK)
    CHANGES[change](tmp_path / "a.rows")
    with pytest.raises(CorruptFile, match=r"a\.rows (is damaged|has nothing) at offset \d.*(made anew|start again)") as caught:
        opened.take(every)
    assert "\n" not in str(caught.value)


def test_a_write_between_the_reading_and_the_look_at_the_time_is_seen_by_the_next_reading(tmp_path, monkeypatch):
    opened, every, read = packed(tmp_path / "a.rows", numbers()), np.arange(ROWS), os.preadv
    opened.take(every)
    time.sleep(TICK)

    def read_then_written_to(*given):
        came = read(*given)
        flip(tmp_path / "a.rows")
        return came

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", read_then_written_to)
        np.testing.assert_array_equal(opened.take(every)["x"], numbers())
    with pytest.raises(CorruptFile, match="is damaged at offset"):
        opened.take(every)


def test_a_file_that_takes_its_place_changes_nothing_for_whoever_reads_it(tmp_path):
    opened = packed(tmp_path / "a.rows", numbers())
    packed(tmp_path / "b.rows", numbers(1))
    os.replace(tmp_path / "b.rows", tmp_path / "a.rows")
    np.testing.assert_array_equal(opened.take(np.arange(ROWS))["x"], numbers())


@pytest.mark.parametrize("change", ["flipped", "flipped, its time put back", "cut short"])
def test_a_training_ends_with_a_sentence_and_goes_on_from_its_last_save_to_the_same_bits(change, tmp_path):
    x = numbers()
    pl.DataFrame(x, schema=["a", "b", "c", "d"]).with_columns(pl.Series("y", np.where(x[:, 0] > x[:, 1], "p", "q"))).write_parquet(
        tmp_path / "t.parquet")
    asked = {"net": "mlp:hidden=5", "epochs": 6, "batch": 20, "seed": 2, "plan": "eager", "threads": 1, "save_every": 0.0,
             "progress": False}

    def source():
        return load(tmp_path / "t.parquet", target="y", stream=True, say=lambda _: None)

    whole = cr.train(source(), **asked, out=tmp_path / "whole")
    read = source()
    place = read.inputs.blocks.path

    def after_two(event):
        if isinstance(event, Evaluated) and event.epoch == 2:
            time.sleep(TICK)
            CHANGES[change](place)

    with pytest.raises(CorruptFile, match=rf"{place.name} (is damaged|has nothing) at offset") as caught:
        cr.train(read, **asked, out=tmp_path / "run", sinks=[after_two])
    assert "\n" not in str(caught.value)
    resumed = cr.resume(tmp_path / "run", progress=False)
    assert len(resumed.history) == 6
    (ours, _), (theirs, _) = (checkpoint.read(run.path / "last.safetensors") for run in (resumed, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
