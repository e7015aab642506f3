"""Mutated files for every parser: an error of ours or a value, no hang, bounded memory, and no process that ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "helpers" / "fuzz.py"
NAMES = ("csv", "csv.gz", "csv.zip", "tsv", "rowwise", "npy", "npz", "idx", "idx.gz", "cifar", "mat", "parquet", "fasta", "text", "png",
         "jpeg", "gif", "tiff", "pairs", "lines", "record", "result", "events", "checkpoint", "ledger", "toml", "spec")
IN_ALL = 5_000


def fuzzed(folder, count, seed, *names):
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    root = str(HARNESS.parents[2])
    done = subprocess.run([sys.executable, HARNESS, folder, str(count), str(seed), *names], capture_output=True, text=True, check=False,
                          env={**os.environ, **one, "PYTHONPATH": root})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_five_thousand_mutants_over_all_parsers(tmp_path):
    done = fuzzed(tmp_path, IN_ALL // len(NAMES), 1)
    assert set(done) == set(NAMES)
    assert {name: one["faults"] for name, one in done.items() if one["faults"]} == {}
    assert sum(one["refused"] for one in done.values()) > IN_ALL // 4, "the mutants were hardly ever refused, so this tried little"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_mutants_of_a_parser(name, tmp_path):
    assert fuzzed(tmp_path, 100_000, 2, name)[name]["faults"] == []
