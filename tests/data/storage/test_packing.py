"""What is kept on disk is what would be read into memory: Parquet, images, NPY; caches that are stale, damaged or have no room."""

import datetime
import os
import shutil
from collections import namedtuple

import numpy as np
import polars as pl
import pytest
import torch
from made_data import people, pixels
from PIL import Image

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.readers import tables
from chainrule.data.storage import blocks, packing
from chainrule.data.storage.stored import StoredArray, StoredTable


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of its own, and blocks so small that a few hundred rows make many."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1024)
    monkeypatch.setattr(blocks, "READ_BYTES", 4096)
    monkeypatch.setattr(packing, "PIECE_BYTES", 5000)


def everything(n=300):
    """A frame with every kind of column that Parquet can bring."""
    rng = np.random.default_rng(1)
    frame = pl.from_pandas(people(n)).with_columns(
        pl.Series("day", [datetime.date(2026, 1, 1) + datetime.timedelta(i) if i % 7 else None for i in range(n)]),
        pl.Series("when", [datetime.datetime(2026, 1, 1, 12, 30, 1) + datetime.timedelta(seconds=i) for i in range(n)]),
        pl.Series("grade", rng.choice(["low", "high"], n), dtype=pl.Enum(["low", "high"])),
        pl.Series("code", rng.choice(["10", "9", "1"], n)),
        pl.Series("single", rng.normal(size=n), dtype=pl.Float32),
        pl.Series("short", [None if i % 5 == 0 else i % 100 for i in range(n)], dtype=pl.Int16),
        pl.Series("long", rng.integers(2**40, 2**52, n)),
        pl.Series("price", [f"{i}.25" for i in range(n)]).cast(pl.Decimal(10, 2)),
        pl.Series("nothing", [None] * n))
    return frame.select([c for c in frame.columns if c != "y"] + ["y"])


def written(tmp_path, frame=None, **given):
    path = tmp_path / "made.parquet"
    (everything() if frame is None else frame).write_parquet(path, **given)
    return path


def folder():
    return packing.packed_folder()


def test_a_packed_table_is_the_table_in_memory(tmp_path):
    path = written(tmp_path, row_group_size=37)
    whole, stored = load(path, stream=False), load(path, stream=True, say=print)
    assert isinstance(stored.inputs, StoredTable)
    assert stored.inputs.blocks.count > 10
    assert (stored.inputs.names, len(stored), stored.target_kind) == (whole.inputs.names, len(whole), whole.target_kind)
    assert torch.equal(stored.targets, whole.targets)
    for column in whole.inputs.columns:
        held = stored.inputs[column.name]
        assert (held.name, held.kind, held.categories) == (column.name, column.kind, column.categories)
        torch.testing.assert_close(held.values, column.values, rtol=0, atol=0, equal_nan=True)
    some = np.array([0, 0, 5, 6, 140, 299])
    for column in stored.inputs.read(some).columns:
        torch.testing.assert_close(column.values, whole.inputs[column.name].values[some], rtol=0, atol=0, equal_nan=True)


def test_group_and_time_columns_are_read_whole(tmp_path):
    path = written(tmp_path)
    for given in ({"group": "town"}, {"time": "when"}):
        frame = everything().with_columns(pl.col("town").fill_null("none"))
        frame.write_parquet(path)
        whole, stored = (load(path, target="y", **given, stream=s, say=print) for s in (False, True))
        for name in ("groups", "times"):
            a, b = getattr(whole, name), getattr(stored, name)
            assert (a is None and b is None) or torch.equal(a, b)
        assert {c.name for c in stored.inputs.columns} == {c.name for c in whole.inputs.columns}


def test_a_source_streams_by_itself_when_it_would_fill_a_quarter_of_free_memory(tmp_path, monkeypatch):
    path = written(tmp_path)
    schema = pl.read_parquet_schema(path)
    words = sum(kind in (pl.String, pl.Categorical) for kind in schema.values())
    decoded = 300 * (8 * (len(schema) - words) + 64 * words)
    for free, streams in ((4 * decoded, False), (4 * decoded - 4, True)):
        monkeypatch.setattr(packing, "free_memory", lambda free=free: free)
        source = load(path, say=print)
        assert source.origin.get("streamed", False) == streams
        assert isinstance(source.inputs, StoredTable) == streams
    assert packing.free_memory() > 0


def test_a_file_is_packed_once_and_again_only_when_its_bytes_change(tmp_path):
    path, said = written(tmp_path), []
    first = load(path, stream=True, say=said.append)
    made = first.inputs.blocks.path.stat().st_ino
    assert len(said) == 1
    assert str(first.inputs.blocks.path) in said[0]
    assert load(path, stream=True, say=said.append).inputs.blocks.path.stat().st_ino == made
    os.utime(path, (1, 1))
    again = load(path, stream=True, say=said.append)
    assert (again.inputs.blocks.path.stat().st_ino, again.fingerprint, len(said)) == (made, first.fingerprint, 1)
    written(tmp_path, everything().with_columns(pl.col("age") + 1))
    other = load(path, stream=True, say=said.append)
    assert len(said) == 2
    assert other.fingerprint != first.fingerprint
    assert torch.equal(other.inputs["age"].values, first.inputs["age"].values + 1), "the old cache, still open, is whole"
    assert len(list(folder().iterdir())) == 1


def test_the_fingerprint_of_a_table_is_of_its_bytes_and_of_the_columns_roles(tmp_path):
    path = written(tmp_path)
    a, b = load(path, stream=True, say=print), load(path, stream=True, target="age")
    assert a.fingerprint != b.fingerprint
    assert len(a.fingerprint) == 64
    copy = tmp_path / "copy.parquet"
    shutil.copy(path, copy)
    assert load(copy, stream=True, say=print).fingerprint == a.fingerprint


@pytest.mark.parametrize("harm", ["cut", "longer", "description", "checks", "empty"])
def test_a_damaged_cache_is_said_discarded_and_made_anew(tmp_path, harm):
    path, said = written(tmp_path), []
    packed = load(path, stream=True, say=said.append).inputs.blocks
    raw = bytearray(packed.path.read_bytes())
    if harm == "description":
        raw[-blocks.TAIL - 5] ^= 1
    elif harm == "checks":
        raw[packed.count * packed.block_bytes + 2] ^= 1
    packed.path.write_bytes({"cut": raw[:-1], "longer": raw[:5] + raw, "empty": b""}.get(harm, raw))
    source = load(path, stream=True, say=said.append)
    assert "damaged" in said[1]
    assert "Packing" in said[2]
    assert torch.equal(source.inputs["long"].values, load(path, stream=False).inputs["long"].values)


def test_a_flipped_bit_is_found_when_its_block_is_read_and_the_cache_is_made_anew(tmp_path):
    path = written(tmp_path)
    source = load(path, stream=True, say=print)
    packed, bad = source.inputs.blocks, 3
    with packed.path.open("r+b") as file:
        file.seek(bad * packed.block_bytes + 40)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
    rows = np.arange(packed.rows * bad)
    source.inputs.only(["long"]).read(rows)
    fresh = blocks.unpack(packed.path)
    with pytest.raises(CorruptFile, match=rf"{packed.path.name} is damaged at offset {bad * packed.block_bytes:,} .*made anew"):
        fresh.take(np.array([packed.rows * bad]))
    again = load(path, stream=True, say=print)
    assert again.inputs["long"].values.equal(load(path, stream=False).inputs["long"].values)


def test_too_little_room_is_said_with_bytes_before_anything_is_written(tmp_path, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "total used free")(10, 5, 1000))
    with pytest.raises(InputError, match=r"packed once into .*packed; that needs ([\d,]+) bytes, and 1,000 are free") as caught:
        load(path, stream=True, say=print)
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1024)
    assert not list(folder().iterdir())
    needed = int(str(caught.value).split("needs ")[1].split(" bytes")[0].replace(",", ""))
    found = load(path, stream=True, say=print).inputs.blocks.path.stat().st_size
    assert needed <= found <= needed + 5000, "a description of a few kilobytes is not counted"


def test_a_cache_folder_that_cannot_be_written_is_said(tmp_path):
    path = written(tmp_path)
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"made.parquet is to stay on disk.*failed \(.*\)\. Make the folder writable"):
        load(path, stream=True, say=print)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, InputError, OSError(28, "No space left on device")])
def test_packing_that_is_cut_short_leaves_nothing(tmp_path, monkeypatch, raised):
    path, real, left = written(tmp_path), tables.column_of, [40]

    def third_piece(series, where):
        left[0] -= 1
        if not left[0]:
            assert len(list(folder().iterdir())) == 1, "the half-made file is there now"
            raise raised
        return real(series, where)

    monkeypatch.setattr(tables, "column_of", third_piece)
    with pytest.raises((KeyboardInterrupt, InputError)):
        load(path, stream=True, say=print)
    assert not list(folder().iterdir())


def test_what_a_killed_process_left_is_swept_and_a_living_one_is_left_alone(tmp_path):
    path = written(tmp_path)
    place = load(path, stream=True, say=print).inputs.blocks.path
    place.unlink()
    dead, living = (place.with_name(f".{place.name}.{pid}.tmp") for pid in (2**22 + 7, os.getppid()))
    for stray in (dead, living):
        stray.write_bytes(b"half")
    load(path, stream=True, say=print)
    assert sorted(folder().iterdir()) == sorted([place, living])


def test_a_file_that_changes_while_it_is_packed_is_refused(tmp_path, monkeypatch):
    path, real = written(tmp_path), packing._sha256

    def touched(which):
        with path.open("ab") as file:
            file.write(b"x")
        return real(which)

    monkeypatch.setattr(packing, "_sha256", touched)
    with pytest.raises(InputError, match="changed while it was being packed"):
        load(path, stream=True, say=print)
    assert not list(folder().iterdir())


def test_rows_and_columns_that_cannot_be_packed_are_named(tmp_path):
    frame = everything().with_columns(pl.when(pl.int_range(300) == 222).then(float("inf")).otherwise(pl.col("long")).alias("long"))
    with pytest.raises(InputError, match=r"made.parquet, row 223, column 'long': expected a finite number; got inf"):
        load(written(tmp_path, frame), stream=True, say=print)
    listed = everything().with_columns(pl.Series("pairs", [[1, 2]] * 300))
    with pytest.raises(InputError, match=r"column 'pairs': expected numbers, words, dates or yes/no; got List"):
        load(written(tmp_path, listed), target="y", stream=True, say=print)
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CorruptFile, match=r"made.parquet is damaged or not a Parquet file"):
        load(path, stream=True, say=print)


def test_a_column_of_too_many_words_is_left_out_and_said_at_each_load(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "MOST_WORDS", 50)
    frame = everything().with_columns(pl.Series("name", [f"somebody {i}" for i in range(300)])).select("name", pl.all().exclude("name"))
    path = written(tmp_path, frame)
    for _ in range(2):
        said = []
        source = load(path, stream=True, say=said.append)
        assert "name" not in source.inputs.names
        assert "town" in source.inputs.names
        assert "'name' holds more than 50 different words" in said[-1]


def image_folder(top, n=30, size=(7, 5), colour=True):
    rng = np.random.default_rng(0)
    for i in range(n):
        at = top / ("train" if i % 5 else "test") / "ab"[i % 2]
        at.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0], 3) if colour else (size[1], size[0])
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(at / f"{i:03}.png")
    return top


@pytest.mark.parametrize("colour", [True, False])
def test_packed_images_are_those_in_memory(tmp_path, colour):
    top = image_folder(tmp_path / "pictures", colour=colour)
    whole, stored = load(top, stream=False), load(top, stream=True, say=print)
    assert isinstance(stored.inputs, StoredArray)
    assert stored.inputs.blocks.count > 1
    assert (stored.inputs.shape, stored.inputs.dtype) == (whole.inputs.shape, whole.inputs.dtype)
    assert torch.equal(stored.inputs[:], whole.inputs)
    assert torch.equal(stored.targets, whole.targets)
    assert (stored.fingerprint, stored.classes) == (whole.fingerprint, whole.classes)
    assert stored.parts.keys() == whole.parts.keys()
    assert torch.equal(stored.parts["test"], whole.parts["test"])
    a, b = prepare(whole), prepare(stored)
    assert a.encoder.inputs.maximum == b.encoder.inputs.maximum
    assert torch.equal(a.train.x, b.train.x[:])
    assert torch.equal(a.valid.x[[3, 1]], b.valid.x[[3, 1]])


def test_a_folder_is_packed_again_when_an_image_was_added(tmp_path):
    top, said = image_folder(tmp_path / "pictures"), []
    first = load(top, stream=True, say=said.append)
    load(top, stream=True, say=said.append)
    assert len(said) == 1
    Image.fromarray(pixels(5, 7, 3)).save(top / "train" / "a" / "999.png")
    assert len(load(top, stream=True, say=said.append)) == len(first) + 1
    assert len(said) == 2


def npy(tmp_path, array):
    path = tmp_path / "rows.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f8", "<f2", "<i4", "|u1", "|b1"])
def test_an_npy_file_is_read_where_it_lies(tmp_path, kind):
    array = (np.random.default_rng(0).normal(size=(500, 12)) * 50).astype(kind)
    path = npy(tmp_path, array)
    whole, stored = load(path, stream=False), load(path, stream=True)
    assert isinstance(stored.inputs, StoredArray)
    assert stored.inputs.blocks.path == path
    assert not folder().exists()
    assert stored.inputs.dtype == whole.inputs.dtype
    assert torch.equal(stored.inputs[:], whole.inputs)
    assert stored.fingerprint == whole.fingerprint
    torch.testing.assert_close(prepare(stored).train.x[:], prepare(whole).train.x, rtol=1e-5, atol=1e-6)


def test_a_column_of_an_npy_file_is_its_target(tmp_path):
    array = np.random.default_rng(0).normal(size=(500, 12))
    array[:, 3] = np.arange(500) % 3
    path = npy(tmp_path, array)
    for target in (3, -1, "11"):
        whole, stored = load(path, target=target, stream=False), load(path, target=target, stream=True)
        assert torch.equal(stored.inputs[:], whole.inputs)
        assert torch.equal(stored.targets, whole.targets)
        assert (stored.fingerprint, stored.target_kind, stored.classes) == (whole.fingerprint, whole.target_kind, whole.classes)
        assert {k: v for k, v in stored.origin.items() if k != "streamed"} == dict(whole.origin)
    with pytest.raises(InputError, match="column 12 cannot be its target"):
        load(path, target=12, stream=True)


def test_images_in_an_npy_file_get_their_channels_second(tmp_path):
    for shape in ((40, 6, 5), (40, 6, 5, 3), (40, 3, 6, 5)):
        path = npy(tmp_path, pixels(*shape))
        whole, stored = load(path, stream=False), load(path, stream=True)
        assert stored.inputs.shape == whole.inputs.shape
        assert torch.equal(stored.inputs[:], whole.inputs)
        assert stored.fingerprint == whole.fingerprint


def test_an_npy_file_in_fortrans_order_is_read_into_memory(tmp_path):
    path = npy(tmp_path, np.asfortranarray(np.random.default_rng(0).normal(size=(50, 4))))
    assert torch.equal(load(path, stream=True).inputs, torch.from_numpy(np.load(path)))


def test_a_number_that_is_not_finite_is_named_by_its_row(tmp_path):
    array = np.zeros((500, 12))
    array[321, 5] = np.nan
    with pytest.raises(InputError, match=r"rows.npy, row 322, feature 6: expected a finite number; got nan"):
        load(npy(tmp_path, array), stream=True)


def test_an_npy_file_that_is_cut_or_changed_while_it_is_read_is_named_with_the_offset(tmp_path):
    path = npy(tmp_path, np.random.default_rng(0).normal(size=(500, 12)))
    source = load(path, stream=True)
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"12345678")
    with pytest.raises(CorruptFile, match=r"rows.npy changed while it was being read .*offset 128\)"):
        source.inputs[:10]
    os.truncate(path, 20_000)
    with pytest.raises(CorruptFile, match=r"rows.npy has nothing at offset 38,528, .*cut short while"):
        source.inputs.read(np.arange(400, 410))


def test_rows_to_predict_stream_too(tmp_path, monkeypatch):
    from chainrule.data.load import load_inputs

    path = written(tmp_path)
    data = prepare(load(path, stream=True, say=print))
    monkeypatch.setattr(packing, "free_memory", lambda: 1000)
    rows = load_inputs(path, like=data.encoder.inputs, say=print)
    assert isinstance(rows.inputs, StoredTable)
    frame = load_inputs(everything(), like=data.encoder.inputs)
    torch.testing.assert_close(data.encoder.inputs.encode(rows)[:], data.encoder.inputs.encode(frame))
