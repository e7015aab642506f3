"""Maps on disk: what was predicted is read again as it was, from a folder of masks or an NPZ file."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.reading import Reading
from chainrule.data.writers.maps import Maps
from chainrule.workflows.predict import predict_to

MAPS = torch.randint(3, (4, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NAMES = ["images/a.png", "images/b.jpg", "c.png", "deep/d.png"]


def written(path, classes, maps=MAPS, names=NAMES):
    with Maps(path, classes) as file:
        for at in range(0, len(maps), 2):
            file.add({"row": list(range(at + 1, at + 3)), "file": names[at : at + 2]}, maps[at : at + 2])
    return path


@pytest.mark.parametrize("classes", [("field", "house", "road"), ("0", "7", "255"), ("#000000", "#ff0010", "#ffffff")])
def test_a_folder_is_read_again_as_masks(tmp_path, classes):
    (tmp_path / "set").mkdir()
    folder = written(tmp_path / "set" / "masks", classes)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png")) == ["a.png", "b.png", "c.png", "deep/d.png"]
    (tmp_path / "set" / "images").mkdir()
    (folder / "deep" / "d.png").rename(folder / "d.png")
    for name in "abcd":
        Image.new("L", (5, 6)).save(tmp_path / "set" / "images" / f"{name}.png")
    if (folder / "classes.csv").exists():
        (folder / "classes.csv").rename(tmp_path / "set" / "classes.csv")
    source = cr.load(str(tmp_path / "set"))
    names = np.array(source.classes)[source.targets.numpy()]
    assert (names == np.array(classes)[MAPS.numpy()]).all()


def test_an_interruption_between_two_files_ends_after_the_last(tmp_path, monkeypatch):
    """Of masks that take the place of others, all or none do."""
    folder = written(tmp_path / "masks", ("0", "1", "2"))
    replace, moved = os.replace, []

    def replaced(a, b):
        replace(a, b)
        moved.append(b)
        if len(moved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises(KeyboardInterrupt):
        written(folder, ("0", "1", "2"), maps=2 - MAPS)
    values = [np.asarray(Image.open(folder / name)) for name in ("a.png", "b.png", "c.png", "deep/d.png")]
    assert (np.stack(values) == (2 - MAPS).numpy()).all()


def test_no_name_leads_out_of_the_folder(tmp_path):
    """A list may name pictures by whole paths, or by steps upward; beside them nothing is written."""
    beside = tmp_path / "mine" / "b.png"
    beside.parent.mkdir()
    beside.write_bytes(b"mine")
    folder = written(tmp_path / "out", ("0", "1", "2"), names=["../a.jpg", str(beside), "c/../../d.png", "e.png"])
    assert beside.read_bytes() == b"mine"
    inner = str(beside.relative_to(beside.anchor))
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.png")} == {"a.png", inner, "c/d.png", "e.png"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_two_pictures_of_one_name_lose_no_map(tmp_path):
    with pytest.raises(InputError, match=r"would both be called a\.png, one of them that of a\.jpg"):
        written(tmp_path / "out", ("0", "1", "2"), names=["a.png", "a.jpg", "c.png", "d.png"])
    assert not list(tmp_path.iterdir())


def test_a_file_of_arrays_has_the_class_numbers_and_their_names(tmp_path):
    with np.load(written(tmp_path / "maps.npz", ("a", "b", "c"))) as arrays:
        assert (arrays["maps"] == MAPS.numpy()).all()
        assert arrays["classes"].tolist() == ["a", "b", "c"]
        assert arrays["files"].tolist() == NAMES


def test_what_fails_on_the_way_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="zip"), Maps(tmp_path / "masks", ("a", "b", "c")) as file:
        file.add({"row": [1, 2]}, MAPS[:3])                                      # two of three are named, and written
    with pytest.raises(TypeError), Maps(tmp_path / "maps.npz", ("a", "b", "c")) as file:
        file.add({"row": None}, MAPS)
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_maps_or_a_table_by_the_ending(tmp_path):
    run = cr.train("roads:count=24,side=16", net="unet:width=2,depth=1", steps=2, plan="eager", progress=False, out=tmp_path / "run")
    trained, new = run.trained, cr.load("roads:count=5,side=16,seed=1")
    expected = run.predict(new)[0].argmax(-1).numpy()
    assert predict_to(trained, new, tmp_path / "masks") == 5
    drawn = [np.asarray(Image.open(tmp_path / "masks" / f"{row:06}.png")) for row in range(1, 6)]
    assert (np.stack(drawn) == expected).all()
    predict_to(trained, new, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as arrays:
        assert (arrays["maps"] == expected).all()
    predict_to(trained, new, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "row,share(field),share(building),share(road)"
    assert float(lines[1].split(",")[1]) == pytest.approx((expected[0] == 0).mean())
    with pytest.raises(InputError, match="masks is there already"):
        predict_to(trained, new, tmp_path / "masks")
    (tmp_path / "masks" / "000001.png").unlink()
    (tmp_path / "masks" / "own.txt").write_text("kept")
    predict_to(trained, new, tmp_path / "masks", overwrite=True)
    assert {"000001.png", "own.txt"} <= {p.name for p in (tmp_path / "masks").iterdir()}
    with pytest.raises(InputError, match=r"should end in \.csv, \.parquet or \.npz"):
        predict_to(trained, new, tmp_path / "x.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; a folder is to be written"):
        predict_to(trained, new, tmp_path / "file")


def test_maps_of_pictures_that_were_brought_to_a_size_are_as_large_as_these(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, (high, wide) in {"a": (32, 16), "b": (32, 16), "c": (8, 48)}.items():
        coarse = random.integers(2, size=(high // 8, wide // 8), dtype=np.uint8)
        mask = Image.fromarray(255 * np.kron(coarse, np.ones((8, 8), np.uint8)))
        mask.save(tmp_path / "set" / "masks" / f"{name}.png")
        mask.save(tmp_path / "set" / "images" / f"{name}.png")
    source = cr.load(str(tmp_path / "set"), reading=Reading(resize="32x48"))
    run = cr.train(source, net="unet:width=2,depth=1", steps=1, plan="eager", progress=False, out=tmp_path / "run",
                   split="train=1,valid=0,test=0")
    run.trained.task.answer = lambda raw, loss: torch.nn.functional.one_hot(source.targets.long(), 2).float()
    predict_to(run.trained, str(tmp_path / "set"), tmp_path / "drawn")
    for name in "abc":
        drawn, mask = (np.asarray(Image.open(folder / f"{name}.png")) for folder in (tmp_path / "drawn", tmp_path / "set" / "masks"))
        assert (drawn == mask).all()
    predict_to(run.trained, str(tmp_path / "set"), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as arrays:
        assert arrays["maps"].shape == (3, 32, 48)
