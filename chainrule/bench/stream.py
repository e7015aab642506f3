"""How much memory and time training takes from a Parquet file larger than memory should be asked to hold, at three sizes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from chainrule.bench.harness import aligned, python, tell, verdict
from chainrule.bench.memory import peak
from chainrule.core.errors import InputError

OPTIONS: dict[str, Any] = {"net": "mlp:64x64", "batch": 256, "steps": 500, "optimizer": "adam", "plan": "eager", "threads": 1}
SHARES = (16, 4, 1)
MOST_RESIDENT = 2 * 10**9
TIMES_ON_DISK = 2.5  # the Parquet file, its packed form, and room to spare


def make(path: Path, rows: int, columns: int) -> None:
    """A Parquet file of double-precision columns c0, c1, ... of noise, and whether y = c0 c1 + c2 / 2 > 0, written in pieces."""
    import polars as pl

    noise = ((pl.col("n").hash(seed=j) % 2**24).cast(pl.Float64).mul(2**-23).sub(1).alias(f"c{j}") for j in range(columns))
    frame = pl.LazyFrame().select(pl.int_range(rows, dtype=pl.UInt64).alias("n")).select(noise)
    frame.with_columns((pl.col("c0") * pl.col("c1") + pl.col("c2") / 2 > 0).cast(pl.Int8).alias("y")).sink_parquet(path)


def child(folder: str, rows: int) -> None:
    """In a process of its own, with its cache in `folder`: pack, split, read an epoch, train some steps. Prints seconds and peaks."""
    os.environ["HOME"] = folder
    from chainrule.data.feed.shuffled import feed_of
    from chainrule.data.load import load
    from chainrule.data.prepare import prepare
    from chainrule.workflows.train import train

    path = Path(folder) / f"{rows}.parquet"
    laps: dict[str, float] = {"library": peak()}
    began = time.perf_counter(), time.process_time()

    def lap(stage: str) -> dict[str, float]:
        nonlocal began
        before, began = began, (time.perf_counter(), time.process_time())
        return {stage: began[0] - before[0], f"{stage} cpu": began[1] - before[1], f"{stage} peak": peak()}

    source = load(path, target="y", stream=True, say=lambda _: None)
    laps |= lap("pack")
    prepared = prepare(source)
    laps |= lap("prepare")
    feed = feed_of(prepared.train, prepared.ready, batch=OPTIONS["batch"])
    read = sum(batch.x.shape[0] * batch.x.shape[1] for batch in feed.chunks(0, 0, feed.longest_chunk()))
    laps |= {**lap("read"), "rows read": read}
    del prepared, feed
    train(source, **OPTIONS, out=f"{folder}/run-{rows}", progress=False)
    print(json.dumps({**laps, **lap("train")}))


def main(rows: int = 20_000_000, columns: int = 50, record: bool = False) -> None:
    """Peak resident memory of training from Parquet that stays on disk, and cost per row at a sixteenth, a quarter and all rows."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        needed, free = int(TIMES_ON_DISK * 8 * rows * columns), shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(f"{folder} needs {needed:,} bytes for this; {free:,} are free. Give fewer --rows.")
        for share in SHARES:
            n = rows // share
            path = Path(folder) / f"{n}.parquet"
            python(f"from pathlib import Path; from bench.stream import make; make(Path({str(path)!r}), {n}, {columns})")
            printed = python(f"from bench.stream import child; child({folder!r}, {n})")
            sizes[n] = {"file": path.stat().st_size, **json.loads(printed)}
            path.unlink()
            shutil.rmtree(Path(folder) / ".cache")
    table = [["rows", "file MB", "pack us", "split and fit us", "read us", "(wall) rows/s", "train s", "peak MB", "over the library"]]
    for n, f in sizes.items():
        cpu = [f"{f[stage + ' cpu'] / over * 1e6:.2f}" for stage, over in (("pack", n), ("prepare", n), ("read", f["rows read"]))]
        table.append([f"{n:,}", f"{f['file'] / 1e6:,.0f}", *cpu, f"{f['rows read'] / f['read']:,.0f}", f"{f['train']:.1f}",
                      f"{f['train peak'] / 1e6:,.0f}", f"{(f['train peak'] - f['library']) / 1e6:,.0f}"])
    most = max(f["train peak"] for f in sizes.values())
    options = " ".join(f"{k} {v}," for k, v in OPTIONS.items())
    last = sizes[max(sizes)]
    stages = ", ".join(f"{name} {last[key] / 1e6:,.0f}" for name, key in (
        ("library", "library"), ("packed", "pack peak"), ("split and fitted", "prepare peak"), ("an epoch read", "read peak"),
        ("trained", "train peak")))
    tell("stream", [f"{columns} columns of doubles in Parquet, {options} a fresh process for each size; pack, split and read in",
                    "microseconds of processor time a row; training splits and fits again, and validates on 15 % of the rows", "",
                    *aligned(table), "", f"peak MB of the largest after each stage: {stages}",
                    f"resident at most {most / 1e6:,.0f} MB; {verdict(most < MOST_RESIDENT, 'under 2 GB')}"], record)
