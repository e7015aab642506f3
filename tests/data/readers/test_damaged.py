"""Pictures that cannot be decoded, left out where they are few; folders within the folder of a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.readers import images
from chainrule.data.reading import Reading

SKIP = Reading(skip_bad=True)


def picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5), shade, np.uint8)).save(path)


@pytest.fixture
def animals(tmp_path):
    """Forty pictures of two classes, each of a shade of its own."""
    for i in range(40):
        picture(tmp_path / "animals" / ("cat" if i < 20 else "dog") / f"p{i}.png", i)
    return tmp_path / "animals"


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def foreign(path):
    path.write_text("not a picture")


def deep(path):
    Image.fromarray(np.full((6, 5), 1000, np.uint16)).save(path)


def bomb(path):
    Image.new("1", (30_000, 30_000)).save(path)


@pytest.mark.parametrize("spoil", [cut, foreign, deep, bomb])
def test_each_kind_of_damage_is_left_out_counted_and_named(animals, spoil, monkeypatch):
    spoil(animals / "dog" / "p23.png")
    with pytest.raises(InputError, match=r"p23\.png"):
        cr.load(animals)
    source = cr.load(animals, reading=SKIP)
    assert source.inputs[:, 0, 0, 0].tolist() == [i for i in range(40) if i != 23]
    assert source.targets.tolist() == [0] * 20 + [1] * 19
    assert source.notes == (f"1 of 40 pictures of {animals} cannot be decoded and was left out: dog/p23.png.",)


def test_more_than_the_share_is_refused_and_two_of_forty_are_not(animals):
    for i in (1, 2):
        cut(animals / "cat" / f"p{i}.png")
    assert len(cr.load(animals, reading=SKIP)) == 38
    cut(animals / "cat" / "p3.png")
    with pytest.raises(InputError, match=r"3 of 40 pictures of .*animals cannot be decoded, more than the 5% that --skip-bad leaves out: "
                                         r"cat/p1\.png, cat/p2\.png, cat/p3\.png\. The first: .*p1\.png is damaged"):
        cr.load(animals, reading=SKIP)


def test_a_class_without_any_picture_left_is_refused(animals):
    cut(animals / "dog" / "p20.png")
    for i in range(21, 40):
        (animals / "dog" / f"p{i}.png").unlink()
    with pytest.raises(InputError, match="no picture of the class 'dog' can be decoded"):
        cr.load(animals, reading=SKIP)


def test_parts_keep_their_rows(tmp_path):
    for i in range(30):
        picture(tmp_path / "set" / ("test" if i % 3 == 0 else "train") / f"c{i % 2}" / f"p{i}.png", i)
    cut(tmp_path / "set" / "test" / "c0" / "p0.png")
    source = cr.load(tmp_path / "set", reading=SKIP)
    assert sorted(source.inputs[source.parts["test"], 0, 0, 0].tolist()) == list(range(3, 30, 3))


def test_a_list_of_pictures_loses_its_rows_as_well(animals):
    (animals / "list.csv").write_text("file,label\n" + "".join(f"{'cat' if i < 20 else 'dog'}/p{i}.png,{i % 4}\n" for i in range(40)))
    cut(animals / "cat" / "p6.png")
    source = cr.load(animals / "list.csv", target="label", reading=SKIP)
    shades = source.inputs[:, 0, 0, 0]
    assert 6 not in shades.tolist()
    assert [int(source.classes[int(y)]) if source.classes else int(y) for y in source.targets] == (shades % 4).tolist()


def test_a_run_says_it_repeats_it_and_predicts_past_such_pictures(animals, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cut(animals / "cat" / "p6.png")
    run = cr.train(animals, net="mlp:hidden=3", epochs=1, plan="eager", progress=False, skip_bad=True)
    assert cr.repeat(run.path, progress=False) == (True, 0.0)
    assert len(run.predict(animals)[0]) == 39
    assert run.test_on(animals).n == 39
    assert "1 of 40 pictures" in capsys.readouterr().err


def test_what_it_is_not_for_is_refused(animals):
    with pytest.raises(InputError, match="iris is no folder or list of pictures; --skip-bad is for these"):
        cr.load("iris", reading=SKIP)
    picture(animals / "images" / "a.png", 1)
    picture(animals / "masks" / "a.png", 1)
    with pytest.raises(InputError, match="a mask or boxes for each picture, and --skip-bad is for folders of pictures by class"):
        cr.load(animals, reading=SKIP)


def test_folders_within_the_folder_of_a_class_belong_to_it(tmp_path):
    for i, place in enumerate(("cat/p0.png", "cat/2024/may/p1.png", "cat/2023/p2.png", "dog/a/b/c/p3.png", "dog/.hidden/p4.png",
                               "dog/__MACOSX/p5.png")):
        picture(tmp_path / "set" / place, i)
    paths, y, classes, _ = images.find(tmp_path / "set")
    names = [str(p.relative_to(tmp_path / "set")) for p in paths]
    assert names == ["cat/p0.png", "cat/2023/p2.png", "cat/2024/may/p1.png", "dog/a/b/c/p3.png"]
    assert (y.tolist(), classes) == ([0, 0, 0, 1], ("cat", "dog"))


def test_a_link_to_a_folder_above_does_not_go_round(tmp_path):
    picture(tmp_path / "set" / "cat" / "p0.png", 0)
    picture(tmp_path / "set" / "dog" / "p1.png", 1)
    (tmp_path / "set" / "cat" / "again").symlink_to(tmp_path / "set")
    assert len(images.find(tmp_path / "set")[0]) == 2


def test_only_what_cannot_be_decoded_has_a_fault(animals):
    assert images.fault(animals / "cat" / "p0.png") == ""
    cut(animals / "cat" / "p0.png")
    assert images.fault(animals / "cat" / "p0.png").startswith(f"{animals / 'cat' / 'p0.png'} is damaged")
    with pytest.raises(CorruptFile):
        images.read([animals / "cat" / "p0.png"])
    assert torch.equal(images.read([animals / "cat" / "p1.png"]), torch.full((1, 1, 6, 5), 1, dtype=torch.uint8))
