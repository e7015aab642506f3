"""Folders of pictures with masks or boxes: read as they were drawn, brought to a size together, and every mistake named with its place."""

import numpy as np
import pytest
import torch
from PIL import Image

import chainrule as cr
from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.load import load_inputs
from chainrule.data.reading import Reading


def picture(path, high=8, wide=10, mode="RGB", value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (wide, high), value if mode in ("L", "P", "1") else (value,) * 3).save(path)


def mask(path, values, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8), mode if mode == "L" else None).save(path)


@pytest.fixture
def maps(tmp_path):
    """Three pictures of 8 x 10 with masks of the values 0 and 255, the second row of pixels in each."""
    for i in range(3):
        picture(tmp_path / "images" / f"p{i}.png", value=10 * i)
        values = np.zeros((8, 10), np.uint8)
        values[i] = 255
        mask(tmp_path / "masks" / f"p{i}.png", values)
    return tmp_path


@pytest.fixture
def boxes(tmp_path):
    for i in range(3):
        picture(tmp_path / "images" / f"p{i}.png")
    table(tmp_path, "p0.png,cat,1,2,5,8", "images/p2.png,dog,0,0,10,8", "p0.png,dog,0,0,1,1")
    return tmp_path


def table(folder, *lines, head="file,label,x0,y0,x1,y1"):
    (folder / "boxes.csv").write_text("\n".join([head, *lines]) + "\n")


def test_masks_are_read_as_they_were_drawn(maps):
    source = cr.load(str(maps))
    assert (source.target_kind, source.classes, source.name) == ("maps", ("0", "255"), maps.name)
    assert source.labels["file"] == ["images/p0.png", "images/p1.png", "images/p2.png"]
    expected = torch.zeros(3, 8, 10, dtype=torch.uint8)
    for i in range(3):
        expected[i, i] = 1
    assert source.targets.equal(expected)
    assert source.inputs.shape == (3, 1, 8, 10) if source.inputs.shape[1] == 1 else (3, 3, 8, 10)


def test_a_table_beside_masks_gives_the_classes_names(maps):
    (maps / "classes.csv").write_text("value,label\n255,road\n0,field\n")
    assert cr.load(str(maps)).classes == ("field", "road")
    (maps / "classes.csv").write_text("number,name\n255,road\n")
    with pytest.raises(InputError, match="value,label; got number,name"):
        cr.load(str(maps))


def test_colours_are_classes(maps):
    values = np.zeros((8, 10, 3), np.uint8)
    values[0] = (255, 0, 16)
    Image.fromarray(values).save(maps / "masks" / "p0.png")
    source = cr.load(str(maps))
    assert source.classes == ("#000000", "#ff0010", "#ffffff")
    assert source.targets[0, 0].tolist() == [1] * 10


def test_masks_are_brought_to_a_size_with_their_pictures(maps):
    source = cr.load(str(maps), reading=Reading(resize="4x5"))
    assert source.targets.shape == (3, 4, 5)
    assert set(source.targets.unique().tolist()) <= {0, 1}
    picture(maps / "images" / "p3.png", 9, 10)
    mask(maps / "masks" / "p3.png", np.zeros((9, 10)))
    with pytest.raises(InputError, match="--resize"):
        cr.load(str(maps))


def test_boxes_are_read_and_scaled_with_their_pictures(boxes):
    source = cr.load(str(boxes))
    assert (source.target_kind, source.classes) == ("boxes", ("cat", "dog"))
    assert source.targets.corners[0].tolist() == [[1, 2, 5, 8], [0, 0, 1, 1]]
    assert source.targets.labels.tolist() == [[0, 1], [-1, -1], [1, -1]]
    half = cr.load(str(boxes), reading=Reading(resize="4x20"))
    assert half.targets.corners[0, 0].tolist() == [2, 1, 10, 4]
    assert half.fingerprint != source.fingerprint


def test_parts_are_folders_of_their_own(tmp_path):
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for i in range(count):
            picture(tmp_path / part / "images" / f"{i}.png")
        table(tmp_path / part, "0.png,a,0,0,2,2")
    source = cr.load(str(tmp_path))
    assert len(source) == 6
    assert {name: len(rows) for name, rows in source.parts.items()} == {"valid": 2, "test": 1}
    marked = source.targets.labels[:, 0] >= 0
    assert int(marked.sum()) == 3
    (tmp_path / "val" / "boxes.csv").unlink()
    with pytest.raises(InputError, match=r"val should hold boxes\.csv"):
        cr.load(str(tmp_path))


def test_new_pictures_are_read_without_what_is_marked(maps):
    source = cr.load(str(maps))
    encoder = InputEncoder.fit(source, torch.arange(3))
    (maps / "masks" / "p1.png").unlink()
    rows = load_inputs(str(maps), like=encoder)
    assert len(rows) == 3
    assert rows.target_kind == "none"


@pytest.mark.parametrize(("lines", "words"), [
    (["p0.png,cat,1,2,5,9"], r"line 2: the box from \(1, 2\) to \(5, 9\) reaches outside its picture p0.png, which is 10 wide and 8 high"),
    (["p0.png,cat,0,0,1,1", "p0.png,cat,-1,2,5,8"], "line 3: .* outside"), (["p0.png,cat,1,2,1,8"], "line 2: .* has no area"),
    (["p0.png,cat,5,2,1,8"], "line 2: .* has no area"), (["p9.png,cat,1,2,3,4"], "line 2: there is no picture 'p9.png' in images"),
    (["p0.png,cat,1,2,x,4"], "line 2: expected x1 to be a number of pixels; got 'x'"),
    (["p0.png,,1,2,3,4"], "line 2: the box has no label"),
    (["p0.png,cat,1,2,3"], "line 2: expected y1 to be a number"), ([], "holds no box"), (["p0.png,cat,1,nan,3,4"], "line 2: expected y0")])
def test_a_wrong_box_is_named_with_its_line(boxes, lines, words):
    table(boxes, *lines)
    with pytest.raises(InputError, match=words):
        cr.load(str(boxes))


def test_a_table_with_other_columns_is_refused(boxes):
    table(boxes, "p0.png,1,2,3,4", head="file,x0,y0,x1,y1")
    with pytest.raises(InputError, match="line 1: expected the columns file,label,x0,y0,x1,y1; got file,x0,y0,x1,y1, without label"):
        cr.load(str(boxes))
    (boxes / "boxes.csv").write_bytes(b"file,label\xff\xfe\x00")
    with pytest.raises((CorruptFile, InputError), match=r"boxes\.csv"):
        cr.load(str(boxes))


def test_a_wrong_mask_is_named(maps):
    mask(maps / "masks" / "p1.png", np.zeros((8, 9)))
    with pytest.raises(InputError, match=r"p1\.png is 8 x 9 .*; its picture .*p1\.png is 8 x 10"):
        cr.load(str(maps))
    (maps / "masks" / "p1.png").unlink()
    with pytest.raises(InputError, match=r"images/p1\.png has no mask p1\.png"):
        cr.load(str(maps))
    Image.new("L", (10, 8)).save(maps / "masks" / "p1.jpg")
    with pytest.raises(InputError, match=r"p1\.jpg is a JPEG"):
        cr.load(str(maps))
    (maps / "masks" / "p1.jpg").rename(maps / "masks" / "q1.png")
    with pytest.raises(InputError, match=r"q1\.png is the mask of no picture"):
        cr.load(str(maps))


def test_masks_of_many_values_are_refused(maps):
    colours = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).permutation(colours.reshape(-1)).reshape(8, 10, 3)).save(maps / "masks" / f"p{i}.png")
    for i in range(3, 6):
        picture(maps / "images" / f"p{i}.png")
        Image.fromarray(np.random.default_rng(i).permutation(colours.reshape(-1)).reshape(8, 10, 3)).save(maps / "masks" / f"p{i}.png")
    with pytest.raises(InputError, match="different values; expected at most 256"):
        cr.load(str(maps))


def test_two_kinds_of_marks_are_one_too_many(maps):
    table(maps, "p0.png,cat,1,2,5,8")
    with pytest.raises(InputError, match=r"holds both masks and boxes\.csv"):
        cr.load(str(maps))


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        cr.load(str(tmp_path))
