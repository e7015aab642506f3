"""What a file takes in memory is known before it is read: small files that declare a flood, and large ones that do not fit, are refused."""

import gzip
import os
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import CorruptFile, InputError
from chainrule.data import memory
from chainrule.data.load import load
from chainrule.data.readers import gzipped, tables
from chainrule.evaluate.measures import MOST_CLASSES, classification

MB = 10**6


@pytest.fixture
def little(monkeypatch):
    """A machine with 20 MB left."""
    for module in (memory, gzipped):
        monkeypatch.setattr(module, "free_memory", lambda: 20 * MB)


def written(path, content):
    path.write_bytes(content)
    return path


def pictures(folder, count):
    for i in range(count):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 128)).save(folder / "ab"[i % 2] / f"{i}.png")


LARGE = {
    "t.csv": lambda p: written(p, b"a,y\n" + b"1.5,x\n2.5,z\n" * 400_000),
    "t.csv.gz": lambda p: written(p, gzip.compress(b"a,y\n" + b"1.5,x\n2.5,z\n" * 400_000)),
    "t.txt": lambda p: written(p, b"to be or not " * 100_000),
    "t.txt.gz": lambda p: written(p, gzip.compress(b"to be or not " * 100_000)),
    "t.npy": lambda p: np.save(p, np.zeros((1000, 1000))),
    "t.npz": lambda p: np.savez_compressed(p, x=np.zeros((1000, 1000)), y=np.zeros(1000)),
    "t.parquet": lambda p: pl.DataFrame({"a": np.zeros(2 * MB), "y": np.zeros(2 * MB)}).write_parquet(p),
    "t.feather": lambda p: pl.DataFrame({"a": np.zeros(2 * MB), "y": np.zeros(2 * MB)}).write_ipc(p, compression="zstd"),
    "t.mat": lambda p: savemat(p, {"X": np.zeros((32, 32, 3, 3000), np.uint8), "y": np.ones((3000, 1), np.uint8)}, do_compression=True),
    "t.fasta": lambda p: written(p, b">a label=x\n" + b"ACGT" * 1_500_000),
    "short.fasta": lambda p: written(p, b">a\nA\n" * 20_000),
    "long.fasta": lambda p: written(p, b">a\nA\n" * 400 + b">b\n" + b"A" * 200_000),
    "t.jsonl": lambda p: written(p, b'{"source": "a", "target": "b"}\n' * 20_000),
    "t-images-idx3-ubyte": lambda p: written(p, bytes([0, 0, 8, 3]) + struct.pack(">3i", 15_000, 28, 28) + bytes(15_000 * 784)),
    "t.bin": lambda p: written(p, bytes(4000 * 3073)),
    "pictures": lambda p: pictures(p, 400),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_does_not_fit_is_refused_with_a_sum(name, tmp_path, little):
    LARGE[name](tmp_path / name)
    with pytest.raises(InputError, match=r"takes about [\d.,]+ (MB|GB) of memory, and 20.0 MB are free"):
        load(tmp_path / name, stream=False)


def test_words_that_all_differ_are_refused_with_a_sum_where_numbers_are_not(tmp_path, monkeypatch):
    """Their categories cost more than their bytes."""
    numbers = written(tmp_path / "n.csv", b"a,y\n" + b"".join(b"%d,1\n2,0\n" % (10**7 + i) for i in range(50_000)))
    words = written(tmp_path / "w.csv", b"a,y\n" + b"".join(b"w%07d,1\nw,0\n" % i for i in range(50_000)))
    monkeypatch.setattr(memory, "free_memory", lambda: 14 * MB)
    monkeypatch.setattr(tables, "WORTH_ASKING", 0)
    assert len(load(numbers, stream=False)) == 100_000
    with pytest.raises(InputError, match=r"the words of column 'a' of .*w\.csv takes about 18\.5 MB of memory, and 14\.0 MB are free"):
        load(words, stream=False)


def test_a_small_parquet_file_of_many_rows(tmp_path, monkeypatch):
    path = tmp_path / "bomb.parquet"
    pl.select(pl.repeat(1, 3 * MB, dtype=pl.Int8).alias("a")).write_parquet(path)
    monkeypatch.setattr(gzipped, "MOST_BYTES", MB)
    with pytest.raises(CorruptFile, match="unpacks to more than 100 times its size"):
        load(path)


def test_a_first_line_without_end(tmp_path):
    path = written(tmp_path / "t.csv", b"a," * (9 * MB))
    with pytest.raises(InputError, match="has a first line of more than 16,777,216 bytes"):
        load(path)


def test_many_columns_of_one_name_are_numbered_in_time(tmp_path):
    path = written(tmp_path / "t.csv", b",".join([b"a"] * 30_000) + b"\n" + b"\n".join(b",".join([b"1"] * 30_000) for _ in range(3)))
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent("""
        from chainrule.data import delimited
        print(len(delimited._distinct(["a"] * 30_000)[0]))
        """)], capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert ended.stdout.strip() == "30000"
    assert path.exists()


def test_of_many_classes_no_table_is_made():
    c, n = MOST_CLASSES + 500, 3000
    y = torch.arange(n) % c
    scores = torch.zeros(n, c).scatter_(1, ((y + (torch.arange(n) % 5 == 0)) % c)[:, None], 1.0)
    result = classification(scores, y, [str(i) for i in range(c)], intervals=False)
    assert result.confusion is None
    assert result.errors == n // 5
    assert any("who is taken for whom is left out" in note for note in result.notes)
    assert any("each against the rest, are left out" in note for note in result.notes)
    predicted = scores.argmax(1)
    pairs = [(int(((y == k) & (predicted == k)).sum()), int((y == k).sum() + (predicted == k).sum())) for k in range(c)]
    assert result.measures["macro_f1"].value == pytest.approx(sum(2 * right / both for right, both in pairs) / c)


def test_the_means_over_classes_are_those_of_the_whole_table():
    """The dense formula, against the sparse one that is used."""
    rng = torch.Generator().manual_seed(3)
    scores, y = torch.rand(400, 6, generator=rng).softmax(1), torch.randint(0, 5, (400,), generator=rng)
    result = classification(scores, y, list("abcdef"))
    confusion = torch.tensor(result.confusion).double()
    both = confusion.sum(0) + confusion.sum(1)
    f1 = torch.where(both > 0, 2 * confusion.diagonal() / both, 0.0)
    assert result.measures["macro_f1"].value == pytest.approx(float(f1[both > 0].mean()))
    prior = 2 * 2.0 * result.measures["macro_f1"].value
    shrunk = (2 * confusion.diagonal() + prior) / (both + 4)
    shared = (confusion + confusion.T) * torch.outer(shrunk / both, shrunk / both)
    variances = shrunk * (1 - shrunk) * (2 - shrunk) / both + shared.sum(1) - shared.diagonal()
    half = 1.96 * float(variances[both > 0].sum()) ** 0.5 / int((both > 0).sum())
    ends = result.measures["macro_f1"]
    assert ends.high - ends.low == pytest.approx(2 * half, rel=0.1)


LARGEST = ("1" + "0" * 9, "1" + "0" * 9 + "x1" + "0" * 9, "9" * 19)


@pytest.mark.parametrize("words", [["--threads", "100000"], *(["--net", f"mlp:hidden={hidden}"] for hidden in LARGEST)])
def test_settings_that_no_machine_has_memory_for(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["train", "iris", "--epochs", "1", *words, "--out", "r"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not Path("r").exists()
    assert not list(Path().glob("crash*"))


@pytest.mark.slow
def test_the_bombs_that_were_found(tmp_path):
    """900 MB in a .txt.gz 10.7 GB, a header of 300 MB 7.2 GB: each is refused before."""
    with gzip.open(tmp_path / "t.txt.gz", "wb") as file:
        for _ in range(900):
            file.write(b"ab" * (MB // 2))
    (tmp_path / "t.csv").write_bytes(b"name," * (60 * MB))
    program = """
        import resource, sys
        from chainrule.core.errors import InputError
        from chainrule.data.load import load
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            load(sys.argv[1])
        except InputError as error:
            print(error)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
        """
    for name, most in (("t.txt.gz", 3000), ("t.csv", 1500)):
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), tmp_path / name], capture_output=True, text=True,
                               check=True, timeout=300, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        *said, grown = ended.stdout.splitlines()
        assert said, name
        assert int(grown) < most, (name, grown)


def test_archives_of_arrays_and_of_words_are_read_as_before(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", "a,y\n1,x\n2,z\n3,x\n")
    assert len(load(tmp_path / "t.csv.zip")) == 3
    assert len(cr.load("digits")) == 1797
