"""Photographs as people have them: large, of several sizes, named by a table, counted p1, p2, p10."""

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.load import load, load_inputs
from chainrule.data.prepare import prepare
from chainrule.job import memory
from chainrule.workflows.predict import predict_to

QUIET = {"say": lambda _: None}


def block(path, high, wide, value, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((high, wide, 3), value, np.uint8)).convert(mode).save(path)


@pytest.fixture
def album(tmp_path):
    """24 pictures of 30 x 40, those of dogs brighter, and a table of them."""
    names = [f"{kind}/p{i}.png" for kind in ("cat", "dog") for i in range(1, 13)]
    for i, name in enumerate(names):
        block(tmp_path / "album" / name, 30, 40, 10 * (i % 12) + (120 if "dog" in name else 0))
    pl.DataFrame({"file": names, "who": [n[:3] for n in names], "size": [7.0] * 24}).write_csv(tmp_path / "album" / "list.csv")
    return tmp_path / "album"


def test_names_are_in_the_order_of_their_numbers(album):
    assert load(album).labels["file"][:12] == [f"cat/p{i}.png" for i in range(1, 13)]
    for name in ("10", "9"):
        block(album.parent / "numbers" / name / "a.png", 8, 8, 3)
    assert load(album.parent / "numbers").classes == ("9", "10")


def test_a_table_of_file_names_is_a_set_of_pictures(album, tmp_path):
    listed, folder = load(album / "list.csv", target="who", **QUIET), load(album)
    assert torch.equal(listed.inputs, folder.inputs)
    assert torch.equal(listed.targets, folder.targets)
    assert listed.notes == ("the pictures that 'file' names are the inputs; 'size' is passed over.",)
    run = cr.train(album / "list.csv", target="who", net="linear", loss="cross-entropy", epochs=1, plan="eager", out=tmp_path / "run",
                   progress=False)
    assert "pictures that 'file' names" in "".join(getattr(e, "message", "") for e in run.events)
    assert cr.Run(run.path).test().n == 3
    predict_to(run.trained, album / "list.csv", tmp_path / "said.csv")
    predict_to(run.trained, album, tmp_path / "folder.csv")
    told = pl.read_csv(tmp_path / "said.csv")
    assert told["file"].to_list() == listed.labels["file"]
    assert (tmp_path / "folder.csv").read_bytes() == (tmp_path / "said.csv").read_bytes()
    assert load(album / "list.csv", target="who", reading=cr.data.reading.Reading(columns="file:word"), **QUIET).inputs.names


@pytest.mark.parametrize(("spoil", "message"), [
    ("missing", r"list\.csv, row 3: there is no picture .*cat/p3\.png\. Correct the name in 'file'"),
    ("broken", r"cat/p3\.png is damaged or not an image"), ("deep", r"cat/p3\.png has more than 8 bits a pixel"),
    ("larger", r"the images differ in size: .*cat/p1\.png is 40 x 30, .*cat/p3\.png is 50 x 60\. Bring all to one, height by width, with "
               r"e\.g\. --resize 30x40"),
])
def test_a_picture_that_does_not_fit_is_named(album, spoil, message):
    path = album / "cat" / "p3.png"
    if spoil == "missing":
        path.unlink()
    elif spoil == "broken":
        path.write_bytes(b"no picture")
    elif spoil == "deep":
        Image.fromarray(np.zeros((30, 40), np.uint16)).save(path)
    else:
        block(path, 60, 50, 1)
    with pytest.raises(InputError, match=message):
        load(album / "list.csv", target="who", **QUIET)
    if spoil == "larger":
        assert load(album, reading=cr.data.reading.Reading(resize="30x40")).inputs.shape == (24, 3, 30, 40)


def test_large_pictures_are_shrunk_and_new_ones_alike(tmp_path):
    """A half black, half white photograph shrinks to the mean of each block of pixels; 72 x 96 is 600 x 800 in small."""
    for i in range(6):
        pixels = np.zeros((600, 800), np.uint8)
        pixels[:, 400:] = 40 * i
        (tmp_path / "p" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "p" / "ab"[i % 2] / f"{i}.png")
    source = load(tmp_path / "p")
    assert source.inputs.shape == (6, 1, 72, 96)
    assert source.inputs[:, 0, :, :47].unique().tolist() == [0]
    assert source.inputs[:, 0, :, 49:].unique().tolist() == [0, 40, 80, 120, 160, 200]
    assert source.notes == ("pictures of 600 x 800 (height by width) are shrunk to 72 x 96; --resize 600x800 reads them whole.",)
    encoder = prepare(source).encoder.inputs
    assert any("are shrunk" in note for note in encoder.notes)
    block(tmp_path / "new.png", 300, 400, 77)
    assert encoder.encode(load_inputs(tmp_path / "new.png", like=encoder)).unique().tolist() == [77]
    assert load(tmp_path / "p", reading=cr.data.reading.Reading(resize="600x800")).inputs.shape == (6, 1, 600, 800)
    assert load(tmp_path / "p", reading=cr.data.reading.Reading(**source.origin["reading"])).fingerprint == source.fingerprint


@pytest.mark.parametrize("resize", ["0x3", "3x", "axb", "-3", ""])
def test_a_size_is_height_by_width(resize):
    with pytest.raises(InputError, match="--resize is height by width in pixels"):
        cr.data.reading.Reading(resize=resize)


def test_a_size_is_for_pictures_alone(tmp_path):
    for what in ("digits", "iris"):
        with pytest.raises(InputError, match="--resize is for these"):
            load(what, reading=cr.data.reading.Reading(resize="8"))


def test_a_net_that_does_not_fit_into_memory_is_refused_by_its_sum(monkeypatch):
    """mlp with 100 hidden units on 3 x 600 x 800: 144,000,100 weights and 202 more, five numbers of 4 bytes for each."""
    monkeypatch.setattr(memory, "free_memory", lambda: 2_880_006_039)
    net = cr.core.registry.nets.choose("mlp:hidden=100")
    with pytest.raises(InputError, match=r"inputs of 3 x 600 x 800 has 144,000,302 weights; training holds 5 numbers for each, 2\.9 GB, "
                                         r"and 2\.9 GB are free\. Bring the pictures to a smaller size, e\.g\. --resize 55x74"):
        memory.check_memory(net, (3, 600, 800), 2)
    monkeypatch.setattr(memory, "free_memory", lambda: 2_880_006_040)
    memory.check_memory(net, (3, 600, 800), 2)
