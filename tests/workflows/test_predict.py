"""Predicting to a file: read piece by piece it gives the bytes that reading at once gives, at constant memory, and never half a file."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError, Interrupted
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.readers import table_stream
from chainrule.data.readers.table_files import read_file
from chainrule.data.writers.predictions import Table
from chainrule.workflows import predict
from chainrule.workflows.predict import Line, predict_to

WORDS = ["red", "green", "deep, blue", 'so-called "grey"', "two\nlines", ""]


def rows(n, seed=0):
    """A table with what makes types hard: gaps, blanks, quotation marks, lines within values, numbers only at first."""
    draw = np.random.default_rng(seed)
    late = [str(draw.integers(9)) if i < n * 0.8 else f" {draw.choice(['x', '7'])} " for i in range(n)]
    return pl.DataFrame({
        "length": draw.normal(size=n).round(3), "color": draw.choice(WORDS, n), "late": late,
        "yes": draw.choice([" true", "False ", ""], n),
        "spaced": [f" {v} " if i % 3 else str(v) for i, v in enumerate(draw.integers(0, 99, n))],
        "gap": [None if i < n * 0.7 else float(i % 5) for i in range(n)], "day": [f"2026-01-{1 + i % 28:02}" for i in range(n)],
        "label": draw.choice(["a", "b", "c"], n)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    rows(400).write_csv(folder / "train.csv")
    return cr.train(folder / "train.csv", target="label", net="mlp:hidden=6", epochs=2, batch=20, plan="eager", out=folder / "run")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(table_stream.rowwise, "__defaults__", (2_000,))
    monkeypatch.setattr(table_stream, "PIECE_VALUES", 500)
    monkeypatch.setattr(predict, "BLOCK_BATCHES", 1)
    monkeypatch.setattr(predict, "most_rows", lambda row_bytes: 256)


def test_rows_to_predict_may_hold_anything_in_the_target_column(run):
    """Only inputs are asked for: dates, and several labels in a row, would be refused as targets."""
    given = rows(30, seed=1)
    expected, names = run.predict(given.drop("label"))
    for column in ([f"2026-01-{1 + i % 28:02}" for i in range(30)], ["a|b", "b|c", "a|c"] * 10):
        found, again = run.predict(given.with_columns(label=pl.Series(column, dtype=pl.String)))
        assert torch.equal(found, expected)
        assert again == names
    found, _ = run.predict(given.with_columns(label=pl.Series([None] * 29 + ["2026-01-01"]).str.to_date()))
    assert torch.equal(found, expected)


def test_a_file_in_pieces_has_the_columns_of_the_file_at_once(tmp_path):
    held = rows(300)
    held.write_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes().rstrip(b"\n")))
    held.write_csv(tmp_path / "c.tsv", separator="\t")
    held.write_parquet(tmp_path / "d.parquet")
    for path in tmp_path.iterdir():
        whole = read_file(path).table
        found = table_stream.rowwise(path, prepare(load(path, target="label")).encoder.inputs, 700)
        assert found is not None
        pieces = [piece.table for piece in found.tables()]
        assert len(pieces) > (10 if path.suffix != ".parquet" else 0)
        assert found.expected == sum(map(len, pieces)) == 300
        for column in whole.columns:
            parts = [piece[column.name] for piece in pieces]
            assert torch.equal(torch.cat([p.missing for p in parts]), column.missing)
            if column.categories:
                said = [p.word(i) for p in parts for i in range(len(p)) if not p.missing[i]]
                assert said == [column.word(i) for i in range(300) if not column.missing[i]]
            else:
                values = torch.cat([p.values for p in parts])
                assert torch.equal(values.nan_to_num(), column.values.nan_to_num())


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "parquet"])
def test_streaming_writes_the_bytes_of_reading_at_once(run, tmp_path, small_pieces, suffix):
    held, path = rows(2_000, seed=1), tmp_path / f"new.{suffix}"
    if suffix == "parquet":
        told = {"label": pl.col("label"), "yes": pl.col("yes").str.strip_chars() == "true",
                "spaced": pl.col("spaced").str.strip_chars().cast(pl.Int64), "day": pl.col("day").str.to_date()}
        held.with_columns(**told).write_parquet(path, row_group_size=700)
    else:
        content = held.write_csv(separator="\t" if suffix == "tsv" else ",").encode()
        path.write_bytes(gzip.compress(content) if suffix == "csv.gz" else content)
    assert predict_to(run.trained, path, tmp_path / "whole.csv", stream_bytes=2**40) == 2_000
    assert predict_to(run.trained, path, tmp_path / "pieces.csv", stream_bytes=0) == 2_000
    assert (tmp_path / "pieces.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    values, names = run.predict(path)
    said = pl.read_csv(tmp_path / "pieces.csv")
    np.testing.assert_allclose(said[:, 2:].to_numpy(), values.numpy(), rtol=1e-6)
    assert said["prediction"].to_list() == [names[i] for i in values.argmax(1).tolist()]


def test_parquet_and_npz_hold_what_csv_holds_in_many_parts(run, tmp_path, small_pieces, monkeypatch):
    monkeypatch.setattr("chainrule.data.writers.predictions.PART_BYTES", 10_000)
    rows(2_000, seed=2).write_csv(tmp_path / "new.csv")
    for suffix in ("csv", "parquet", "npz"):
        predict_to(run.trained, tmp_path / "new.csv", tmp_path / f"said.{suffix}", stream_bytes=0)
    said = pl.read_csv(tmp_path / "said.csv")
    stored = pl.read_parquet(tmp_path / "said.parquet")
    assert stored.columns == said.columns
    with np.load(tmp_path / "said.npz") as arrays:
        assert arrays.files == said.columns
        for name in said.columns:
            assert stored[name].to_list() == arrays[name].tolist()
            assert said[name].cast(stored[name].dtype).to_list() == stored[name].to_list()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", "said.csv", "said.npz", "said.parquet"]


def test_predictions_stand_beside_row_numbers_and_what_was_left_out(tmp_path, small_pieces):
    """Ids, names and groups are no inputs, and come along as they are in the file; whole or in pieces, as words or with types."""
    held = rows(300, seed=3).with_columns(pl.Series("code", [f"=x{i:04}" for i in range(300)]), pl.Series("id", range(900, 1200)),
                                          pl.Series("row", [f"r{i % 7}" for i in range(300)]), pl.Series("secret", range(300)))
    held.write_csv(tmp_path / "new.csv")
    held.with_columns(id=pl.when(pl.col("id") > 901).then("id")).write_parquet(tmp_path / "new.parquet")
    run = cr.train(tmp_path / "new.csv", target="label", net="linear", epochs=1, batch=100, plan="eager", group="row", loss="cross-entropy",
                   columns="secret:out", out=tmp_path / "run", progress=False)
    labels = ["row", "code", "id", "row of the data", "secret"]
    for name in ("new.csv", "new.parquet"):
        for size in (0, 2**40):
            predict_to(run.trained, tmp_path / name, tmp_path / f"{size}.csv", stream_bytes=size)
        assert (tmp_path / "0.csv").read_bytes() == (tmp_path / f"{2**40}.csv").read_bytes()
        told = pl.read_csv(tmp_path / "0.csv")
        (tmp_path / "0.csv").unlink(), (tmp_path / f"{2**40}.csv").unlink()
        assert sorted(told.columns[:5]) == sorted(labels)
        assert told["row"].to_list() == list(range(1, 301))
        assert told["code"].to_list() == [f"'=x{i:04}" for i in range(300)]
        assert told["id"].to_list() == [None if name == "new.parquet" and i < 902 else i for i in range(900, 1200)]
        assert told["row of the data"].to_list() == held["row"].to_list()
        assert told["secret"].to_list() == list(range(300))
    predict_to(run.trained, tmp_path / "new.parquet", tmp_path / "said.npz", stream_bytes=0)
    with np.load(tmp_path / "said.npz") as arrays:
        assert arrays["id"][[0, 1]].tolist() == pytest.approx([float("nan")] * 2, nan_ok=True)
        assert arrays["id"][2:].tolist() == list(range(902, 1200))
        assert arrays["code"].tolist() == [f"'=x{i:04}" for i in range(300)]


def test_answers_at_steps_bear_the_name_of_their_sequence(tmp_path, small_pieces):
    lines = "".join(f">s{i} of a chain\n{'ACDE' * 3}{'G' * (i % 2)}\n{'hhee' * 3}{'h' * (i % 2)}\n" for i in range(20))
    (tmp_path / "a.fasta").write_text(lines)
    run = cr.train(tmp_path / "a.fasta", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    assert predict_to(run.trained, tmp_path / "a.fasta", tmp_path / "said.csv") == 250
    told = pl.read_csv(tmp_path / "said.csv")
    assert told.columns == ["row", "sequence", "step", "prediction", "probability"]
    assert told["row"].to_list() == [row + 1 for row in range(20) for _ in range(12 + row % 2)]
    assert told["sequence"].to_list() == [f"s{row}" for row in range(20) for _ in range(12 + row % 2)]


def test_predictions_replace_nothing_unless_they_are_told_to(run, tmp_path):
    rows(20).write_csv(tmp_path / "new.csv")
    before = (tmp_path / "new.csv").read_bytes()
    (tmp_path / "same.csv").symlink_to(tmp_path / "new.csv")
    for out, overwrite, message in (("new.csv", True, "very file that is read"), ("same.csv", True, "very file that is read"),
                                    ("new.csv", False, "very file that is read")):
        with pytest.raises(InputError, match=message):
            predict_to(run.trained, tmp_path / "new.csv", tmp_path / out, overwrite=overwrite)
    assert (tmp_path / "new.csv").read_bytes() == before


MISTAKES = {
    "infinite": ("length", 250, "inf", r"new\.csv, row 251, column 'length': expected a finite number"),
    "word": ("gap", 299, "much", r"new\.csv, row 300, column 'gap': expected a number as in training; got 'much'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_row_is_counted_from_the_start_of_the_file(run, tmp_path, small_pieces, mistake):
    name, at, value, said = MISTAKES[mistake]
    held = rows(400).with_columns(pl.col(name).cast(pl.String))
    held = held.with_columns(pl.when(pl.int_range(pl.len()) == at).then(pl.lit(value)).otherwise(pl.col(name)).alias(name))
    if mistake == "word":
        held = held.with_columns(pl.when(pl.int_range(pl.len()) < at).then(None).otherwise(pl.col(name)).alias(name))
    held.write_csv(tmp_path / "new.csv")
    told = []
    for stream_bytes in (2**40, 0):
        with pytest.raises(InputError, match=said) as error:
            predict_to(run.trained, tmp_path / "new.csv", tmp_path / "said.csv", stream_bytes=stream_bytes)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv"]


@pytest.mark.parametrize(("content", "kind", "said"), [
    (b"", InputError, "is empty"), (b"a,b\n", InputError, "no rows"), (b"1,2\n3,4\n", InputError, "lacks 7 of the 7 columns that "
                                                                                                  "training read"),
    (b"a,b\n" + b"1,2\n" * 900 + b"1,2,3\n", CorruptFile, "not a table of values"), (b"a,b\n\xff\xfe,2\n", CorruptFile, "Save it as UTF-8"),
])
def test_a_file_that_is_no_table_is_said_as_ever(run, tmp_path, small_pieces, content, kind, said):
    (tmp_path / "new.csv").write_bytes(content)
    for stream_bytes in (2**40, 0):
        with pytest.raises(kind, match=said):
            predict_to(run.trained, tmp_path / "new.csv", tmp_path / "said.csv", stream_bytes=stream_bytes)


def test_the_name_is_checked_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"should end in \.csv, \.parquet or \.npz"):
        predict_to(None, "digits", tmp_path / "said.xls")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be written"):
        predict_to(None, "digits", tmp_path / "nowhere" / "said.csv")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_write_leaves_the_old_file(run, tmp_path, small_pieces, monkeypatch, suffix, number):
    monkeypatch.setattr("chainrule.data.writers.predictions.PART_BYTES", 1000)
    rows(2_000, seed=3).write_csv(tmp_path / "new.csv")
    old = tmp_path / f"said.{suffix}"
    old.write_bytes(b"old")
    add, calls = Table.add, []

    def interrupted(self, *args):
        add(self, *args)
        calls.append(len(list(tmp_path.iterdir())))
        if len(calls) == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Table, "add", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="Nothing was written") as error:
        predict_to(run.trained, tmp_path / "new.csv", old, stream_bytes=0, overwrite=True)
    assert error.value.signal == number.name
    assert len(calls) == 2
    assert calls[-1] > 2  # there was something to leave behind
    assert old.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", old.name]
    assert signal.getsignal(number) == before


def test_an_interruption_that_a_library_loses_in_its_import_is_one(run, tmp_path, monkeypatch):
    rows(20, seed=3).write_csv(tmp_path / "new.csv")

    def imported(self, *_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(Table, "add", imported)
    with pytest.raises(Interrupted, match="Nothing was written"):
        predict_to(run.trained, tmp_path / "new.csv", tmp_path / "predicted.csv")


@pytest.mark.parametrize("old", [True, False])
def test_an_interruption_that_comes_too_late_does_not_deny_what_was_written(run, tmp_path, monkeypatch, old):
    rows(20, seed=3).write_csv(tmp_path / "new.csv")
    out = tmp_path / "predicted.csv"
    if old:
        out.write_bytes(b"old")
    replace = os.replace

    def replaced(a, b):
        replace(a, b)
        if Path(b) == out:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises(Interrupted, match=r"predicted\.csv was written before that, and is whole"):
        predict_to(run.trained, tmp_path / "new.csv", out, overwrite=True)
    assert len(pl.read_csv(out)) == 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not say what a process took at most")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Six times the rows, read whole, cost far more than the bound; read in pieces they stay under it."""
    draw = np.random.default_rng(0)
    names = [f"x{i}" for i in range(8)]
    for name, n in (("train", 200), ("few", 100_000), ("many", 600_000)):
        frame = pl.DataFrame(draw.normal(size=(n, 8)).round(6), schema=names)
        frame.with_columns((pl.col("x0") + pl.col("x1")).alias("y") if name == "train" else []).write_csv(tmp_path / f"{name}.csv")
    run = cr.train(tmp_path / "train.csv", net="linear", epochs=1, plan="eager", out=tmp_path / "run")
    program = textwrap.dedent("""
        import json, sys
        import torch
        from pathlib import Path
        import chainrule as cr
        from chainrule.data.readers import table_stream
        from chainrule.workflows.predict import predict_to
        torch.set_num_threads(1)
        table_stream.rowwise.__defaults__ = (2**20,)
        run, folder, peaks = cr.Run(sys.argv[1]), Path(sys.argv[2]), []
        for name, stream_bytes in (("few.csv", 0), ("many.csv", 0), ("many.csv", 2**40)):
            predict_to(run.trained, folder / name, folder / "said.csv", stream_bytes=stream_bytes, overwrite=True)
            status = Path("/proc/self/status").read_text().splitlines()  # getrusage would count the peak of the process that started this
            peaks.append(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")))
        print(json.dumps(peaks))
    """)
    done = subprocess.run([sys.executable, "-c", program, str(run.path), str(tmp_path)], capture_output=True, text=True, check=True,
                          env={**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"})
    few, many, whole = json.loads(done.stdout.splitlines()[-1])
    assert many - few < 30, f"peaks in MB: {few:.0f}, {many:.0f} in pieces, {whole:.0f} at once"
    assert whole - many > 50, f"peaks in MB: {few:.0f}, {many:.0f} in pieces, {whole:.0f} at once"


class Terminal:
    def __init__(self, terminal):
        self.terminal, self.said = terminal, ""

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.said += text

    def flush(self):
        pass


@pytest.mark.parametrize("terminal", [False, True])
def test_the_line_is_calm(terminal):
    """Nothing for two seconds; then ten redraws a second at most in a terminal, and a plain line every five seconds elsewhere."""
    now, out = [0.0], Terminal(terminal)
    line = Line(out, lambda: now[0])  # type: ignore[arg-type]
    for hundredth in range(1, 2001):
        now[0] = hundredth / 100
        line(50 * hundredth, 200_000)
    line.close()
    said = [s for s in re.split(r"\r\x1b\[2K|\n", out.said) if s]
    assert len(said) == (pytest.approx(170, abs=15) if terminal else 4)
    assert said[-1].startswith("9" if terminal else "100,000 of 200,000 rows predicted, 5,000 rows/s, 20")
    assert out.said.endswith("\r\x1b[2K" if terminal else "left\n")


def test_quick_work_says_nothing():
    now, out = [0.0], Terminal(True)
    line = Line(out, lambda: now[0])  # type: ignore[arg-type]
    now[0] = 1.9
    line(5, 10)
    line.close()
    assert out.said == ""


@pytest.mark.parametrize("target", [3, 0, -1])
def test_the_array_that_a_net_has_trained_on_can_be_predicted(target, tmp_path):
    """Second derivation: its inputs alone, the column of targets taken out by hand."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(60, 4))
    values[:, target] = values.sum(1)
    np.save(tmp_path / "all.npy", values)
    run = cr.train(tmp_path / "all.npy", target=target, net="linear", epochs=2, plan="eager", progress=False, out=tmp_path / "run")
    alone = np.delete(values, target, axis=1)
    for what in (tmp_path / "all.npy", values):
        assert torch.equal(run.predict(what)[0], run.predict(alone)[0])
    assert predict_to(run.trained, tmp_path / "all.npy", tmp_path / "answers.csv") == 60
