"""Training from disk: the encoder, the order of samples, resuming, the thread that reads ahead, and memory that does not grow."""

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from made_data import people

import chainrule
from chainrule.core.errors import ChainruleError, CorruptFile, InputError
from chainrule.data.feed import shuffled
from chainrule.data.feed.prefetch import ahead
from chainrule.data.feed.shuffled import Feed, StreamedFeed, feed_of
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.source import Part
from chainrule.data.storage import blocks, packing, stored
from chainrule.workflows.train import train


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of its own, and blocks so small that a few hundred rows make many."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 512)
    monkeypatch.setattr(blocks, "READ_BYTES", 4096)
    monkeypatch.setattr(stored, "READ_BYTES", 2000)


def table(tmp_path, n=400, change=None):
    frame = pl.from_pandas(people(n)).with_columns(pl.Series("code", [str(i % 7) for i in range(n)]))
    frame = frame.select(*[c for c in frame.columns if c != "y"], "y")
    if change is not None:
        frame = change(frame)
    path = tmp_path / "people.parquet"
    frame.write_parquet(path)
    return path


def both(path, **given):
    whole, disk = (prepare(load(path, stream=stream, say=lambda _: None), **given) for stream in (False, True))
    return whole, disk


def streamed(tmp_path, n=300, batch=7, window=1500, seed=3, **given):
    """A streamed feed over rows whose first feature is their number in the source."""
    path = tmp_path / "numbers.npy"
    np.save(path, np.column_stack([np.arange(n), np.arange(n) * 2, np.zeros(n)]).astype(np.float32))
    x = load(path, stream=True).inputs
    rows = torch.tensor([i for i in range(n) if i % 10 and not 100 <= i < 170])
    part = Part(stored.Streamed(x, rows, lambda t: t), rows * 3, rows, rows * 0.5)
    return StreamedFeed(part, torch.Tensor.float, batch=batch, seed=seed, window=window, **given)


def samples(chunks):
    return torch.cat([c.x[..., 0].flatten() for c in chunks]).long()


@pytest.mark.parametrize("given", [{}, {"range": "unit"}, {"limit": 50}, {"target": "none"}])
def test_a_streamed_part_is_the_part_in_memory(tmp_path, given):
    whole, disk = both(table(tmp_path), **given)
    torch.testing.assert_close(disk.encoder.inputs.features.scale, whole.encoder.inputs.features.scale, rtol=1e-12, atol=1e-12)
    assert disk.encoder.inputs.features.columns == whole.encoder.inputs.features.columns
    assert disk.encoder.inputs.notes == whole.encoder.inputs.notes
    assert disk.encoder.inputs.input_shape == whole.encoder.inputs.input_shape
    for a, b in ((whole.train, disk.train), (whole.valid, disk.valid), (whole.door.open("a"), disk.door.open("a"))):
        assert torch.equal(a.rows, b.rows)
        assert (len(a), a.x.shape, a.x.dtype) == (len(b), b.x.shape, b.x.dtype)
        assert (a.y is None and b.y is None) or torch.equal(a.y, b.y)
        torch.testing.assert_close(b.x[:], a.x, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(torch.cat(list(b.x.split(9))), a.x, rtol=1e-6, atol=1e-6)
        assert [len(p) for p in b.x.split(9)] == [len(p) for p in a.x.split(9)]
        for index in ([5, 2, 2, 11], slice(3, 17), torch.tensor([0])):
            torch.testing.assert_close(b.x[index], a.x[index], rtol=1e-6, atol=1e-6)
        assert b.x[:0].shape == a.x[:0].shape


def test_nothing_of_the_test_and_validation_rows_reaches_the_encoder(tmp_path):
    """The leak test: other numbers, words and gaps in every row that is not for training, and the same encoder."""
    first = prepare(load(table(tmp_path), stream=True, say=print))
    kept = torch.zeros(400, dtype=torch.bool)
    kept[first.train.rows] = True

    def change(frame):
        mask = pl.Series(kept.numpy())
        return frame.with_columns(
            pl.when(mask).then(pl.col("age")).otherwise(1e6), pl.when(mask).then(pl.col("town")).otherwise(pl.lit("Atlantis")),
            pl.when(mask).then(pl.col("income")).otherwise(None), pl.when(mask).then(pl.col("always")).otherwise(7.0))

    other = prepare(load(table(tmp_path, change=change), stream=True, say=print))
    assert torch.equal(other.train.rows, first.train.rows)
    assert torch.equal(other.encoder.inputs.features.scale, first.encoder.inputs.features.scale)
    assert other.encoder.inputs.features.columns == first.encoder.inputs.features.columns
    assert torch.equal(other.train.x[:], first.train.x[:])
    assert not torch.equal(other.valid.x[:], first.valid.x[:])


@pytest.mark.parametrize("window", [1, 400, 10**6])
def test_the_order_is_a_permutation_and_a_function_of_seed_and_epoch_alone(tmp_path, window, monkeypatch):
    first, again = streamed(tmp_path, window=window), streamed(tmp_path, window=window)
    other_seed, n = streamed(tmp_path, window=window, seed=4), len(first.part)

    def nothing_is_read(*_):
        raise AssertionError("the order needs no data")

    monkeypatch.setattr(os, "preadv", nothing_is_read)
    torch.manual_seed(0)
    orders = [first.order(epoch) for epoch in range(4)]
    torch.manual_seed(99)
    for epoch in (3, 1, 0, 2):
        assert torch.equal(again.order(epoch), orders[epoch])
        assert torch.equal(orders[epoch].sort().values, torch.arange(n))
        assert not torch.equal(orders[epoch], other_seed.order(epoch))
        assert not torch.equal(orders[epoch], orders[(epoch + 1) % 4])
        assert not torch.equal(orders[epoch], torch.arange(n))


def test_windows_mix_rows_of_distant_blocks(tmp_path):
    """Neighbours in the source are apart in a window, and each window holds blocks from all over the file."""
    mixed = streamed(tmp_path, n=4000, window=6000)
    order = mixed.part.rows[mixed.order(0)].float()
    assert len(mixed.sizes) > 50
    assert 2 < mixed.blocks_in_window < len(mixed.sizes) / 3
    assert float((order.diff().abs() <= 1).float().mean()) < 0.02
    correlation = np.corrcoef(order.numpy(), np.arange(len(order)))[0, 1]
    assert abs(correlation) < 0.35, "where a row is in the file says little of when it is read"


@pytest.mark.parametrize("batch", [1, 7, 40, 206, 207, 10**6])
def test_an_epoch_reads_each_row_once_in_the_order_told(tmp_path, batch):
    made = streamed(tmp_path, batch=batch)
    for epoch, size in ((0, 1), (1, 3), (2, 50)):
        chunks = list(made.chunks(epoch, 0, size))
        want = made.part.rows[made.order(epoch)]
        assert torch.equal(samples(chunks), want)
        assert torch.equal(torch.cat([c.y.flatten() for c in chunks]), want * 3)
        assert torch.equal(torch.cat([c.weight.flatten() for c in chunks]), want * 0.5)
        alike = Feed(Part(torch.zeros(len(made.part), 1), None, made.part.rows), torch.Tensor.float, batch=batch)
        assert [c.x.shape[:2] for c in chunks] == [c.x.shape[:2] for c in alike.chunks(epoch, 0, size)]
        assert torch.equal(torch.cat([made.rows(epoch, b) for b in range(made.batches)]), want)


@pytest.mark.parametrize("size", [1, 4])
def test_resuming_at_any_batch_repeats_and_loses_nothing(tmp_path, size):
    made = streamed(tmp_path, batch=11)
    whole = samples(made.chunks(5, 0, size))
    assert made.batches > 15
    for start in range(made.batches):
        left = list(streamed(tmp_path, batch=11).chunks(5, start, size))
        assert torch.equal(samples(left), whole[start * 11 :])
        assert len(left[0]) == min(size - start % size, made.full - start) if start < made.full else 1


def test_a_batch_is_that_of_the_feed_in_memory_for_the_same_rows(tmp_path, monkeypatch):
    whole, disk = both(table(tmp_path, change=lambda f: f.with_columns(pl.Series("y", [f"k{i % 3}" for i in range(len(f))]))))
    made = StreamedFeed(disk.train, disk.ready, batch=16, seed=1, one_hot=3, window=3000)
    twin = Feed(whole.train, whole.ready, batch=16, seed=1, one_hot=3)
    monkeypatch.setattr(twin, "order", made.order)
    for a, b in zip(made.chunks(2, 0, 5), twin.chunks(2, 0, 5), strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=1e-6, atol=1e-6)
        assert torch.equal(a.y, b.y)


def test_training_from_disk_gives_the_weights_of_training_in_memory(tmp_path, monkeypatch):
    path = table(tmp_path)
    options = {"net": "mlp:hidden=8", "epochs": 3, "batch": 32, "seed": 5, "plan": "eager", "progress": False}
    sources = {stream: load(path, stream=stream, say=print) for stream in (True, False)}
    disk = train(sources[True], **options, out=tmp_path / "disk")
    streams = disk.job.feed()
    assert isinstance(streams, StreamedFeed)
    monkeypatch.setattr(Feed, "order", lambda self, epoch: streams.order(epoch))
    memory = train(sources[False], **options, out=tmp_path / "memory")
    for (name, a), b in zip(disk.net.state_dict().items(), memory.net.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)
    a, b = disk.test().to_dict(), memory.test().to_dict()
    assert a["measures"].keys() == b["measures"].keys()
    torch.testing.assert_close(disk.predict(path)[0], memory.predict(path)[0], rtol=1e-4, atol=1e-4)
    assert disk.record["data"]["origin"]["streamed"] is True


def test_a_rule_that_reads_everything_gets_it_in_memory_or_is_refused(tmp_path, monkeypatch):
    _, disk = both(table(tmp_path))
    made = feed_of(disk.train, disk.ready, batch=9, everything=True)
    assert type(made) is Feed
    assert torch.equal(next(made.chunks(0)).x[0], disk.train.x[:])
    monkeypatch.setattr(shuffled, "free_memory", lambda: disk.train.x.nbytes - 1)
    with pytest.raises(InputError, match=rf"all 280 training rows at once, {disk.train.x.nbytes:,} bytes"):
        feed_of(disk.train, disk.ready, batch=9, everything=True)


def readers():
    return [t for t in threading.enumerate() if t.name.startswith("chainrule reads")]


def fails(made, error):
    for _ in made.chunks(0):
        raise error


def test_no_thread_is_left_behind(tmp_path):
    made = streamed(tmp_path)
    list(made.chunks(0))
    assert not readers(), "after the last batch"
    chunks = made.chunks(0)
    next(chunks)
    assert len(readers()) == 1
    chunks.close()
    assert not readers(), "when closed"
    chunks = made.chunks(0)
    next(chunks)
    del chunks
    gc.collect()
    assert not readers(), "when dropped"
    for _ in made.chunks(0):
        break
    gc.collect()
    assert not readers(), "when a loop is left"
    for interrupt in (KeyboardInterrupt, ValueError):
        with pytest.raises(interrupt):
            fails(made, interrupt)
        gc.collect()
        assert not readers(), "when training fails"


def test_the_next_item_is_fetched_while_one_is_used_and_no_more_than_one_waits():
    asked, go = [], threading.Event()

    def items():
        for i in range(10):
            asked.append(i)
            go.set()
            yield i

    reading = ahead(items(), "items")
    assert next(reading) == 0
    deadline = time.monotonic() + 300  # for a reader that hangs: the next item takes as long as the machine is busy
    while len(asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert asked == [0, 1, 2], "one in use, one waiting, one in hand"
    assert list(reading) == list(range(1, 10))


def test_closing_stops_the_reading():
    asked = []
    reading = ahead((asked.append(i) or i for i in range(10**9)), "items")
    next(reading)
    reading.close()
    stopped = len(asked)
    time.sleep(0.05)
    assert len(asked) == stopped < 1000
    assert not readers()


@pytest.mark.parametrize("error", [ValueError("odd"), CorruptFile("cut"), SystemExit(3), MemoryError()])
def test_an_error_of_the_reader_is_raised_where_training_waits(error):
    def items():
        yield 1
        raise error

    reading = ahead(items(), "items")
    assert next(reading) == 1
    with pytest.raises(type(error)) as caught:
        next(reading)
    assert caught.value is error
    assert not readers()


def test_a_reader_that_dies_without_a_word_raises_and_does_not_hang(monkeypatch):
    """A thread that ends at once, as one would that the system killed before it could say why."""
    monkeypatch.setattr(threading.Thread, "run", lambda self: None)
    with pytest.raises(ChainruleError, match=r"the thread that reads big\.parquet ended without a message; resume"):
        next(ahead(iter([1]), "big.parquet"))


def test_a_file_cut_while_training_ends_the_epoch_with_path_and_offset(tmp_path):
    made = streamed(tmp_path, n=3000, window=1500)
    chunks = made.chunks(0)
    next(chunks)
    os.truncate(made.part.x.stored.blocks.path, 300)
    with pytest.raises(CorruptFile, match=r"numbers.npy has nothing at offset \d"):
        list(chunks)
    assert not readers()


def test_blocks_that_hold_no_row_of_the_part_are_never_read(tmp_path, monkeypatch):
    made, touched = streamed(tmp_path), []
    held, fill = made.part.x.stored.blocks, blocks.Blocks._fill

    def told(self, into, block):
        touched.extend(range(block, block + len(into) // held.block_bytes))
        fill(self, into, block)

    monkeypatch.setattr(blocks.Blocks, "_fill", told)
    list(made.chunks(0))
    inside = [b for b in range(held.count) if b * held.rows >= 100 and (b + 1) * held.rows <= 170]
    assert inside
    assert sorted(set(touched)) == [b for b in range(held.count) if b not in inside]


GROWTH = textwrap.dedent("""
    import json, os, resource, sys
    os.environ["HOME"] = sys.argv[1]
    from chainrule.data.feed import shuffled
    from chainrule.data.load import load
    from chainrule.data.prepare import prepare
    from chainrule.data.storage import packing
    shuffled.StreamedFeed.__init__.__kwdefaults__["window"] = 2**22  # so small that both files fill all buffers
    packing.PIECE_BYTES = 2**23
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    few, many = sys.argv[2:4]
    peaks = []
    for path in (few, many):
        made = prepare(load(path, target="y", stream=STREAM, say=lambda _: None))
        batches = shuffled.feed_of(made.train, made.ready, batch=100)
        seen = sum(b.x.shape[0] * b.x.shape[1] for b in batches.chunks(0, 0, 10))
        assert seen == len(made.train), (seen, len(made.train))
        for rows in made.valid.x.split(250):
            pass
        peaks.append(peak())
    print(json.dumps(peaks))
""")


def grown(tmp_path, stream):
    """Bytes by which the peak of a process grows from a table of 30 MB to one of 120 MB."""
    paths = [str(tmp_path / name) for name in ("few.parquet", "many.parquet")]
    noise = np.random.default_rng(0).integers(-999, 999, (25_000, 150)) / 8
    frame = pl.DataFrame(noise, schema=[f"c{j}" for j in range(150)]).with_columns(pl.Series("y", np.arange(25_000) % 2))
    for path, times in zip(paths, (1, 4), strict=True):
        pl.concat([frame] * times).write_parquet(path, row_group_size=5000, compression="uncompressed")
    assert Path(paths[1]).stat().st_size > 120e6
    environment = {**os.environ, "PYTHONPATH": str(Path(chainrule.__file__).parents[1])}
    code = GROWTH.replace("STREAM", str(stream))
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "home"), *paths], capture_output=True, text=True, env=environment,
                          check=True)
    few, many = json.loads(told.stdout)
    return many - few


def test_memory_does_not_grow_with_the_file(tmp_path):
    assert grown(tmp_path, stream=True) < 30e6


def test_a_threshold_is_enough_to_train_from_disk(tmp_path, monkeypatch):
    """What `chainrule train big.parquet --target y` does, where memory is short: nobody has to ask for it."""
    monkeypatch.setattr(packing, "free_memory", lambda: 30_000)
    run = train(str(table(tmp_path)), target="y", net="mlp:hidden=4", epochs=1, plan="eager", out=tmp_path / "run", progress=False)
    assert isinstance(run.job.feed(), StreamedFeed)
    assert run.events[-1].reason == "budget"
