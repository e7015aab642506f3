"""IDX, CIFAR binary, SVHN .mat and folders of images: right values in, and a clear sentence for each way a file can be wrong."""

import contextlib
import gzip
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import cifar_folder, idx_bytes, idx_folder, pixels
from PIL import Image

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.load import describe_source, load
from chainrule.data.prepare import prepare
from chainrule.data.readers import gzipped, idx, images

HELD = Path(os.environ.get("CHAINRULE_DATA", "/nowhere"))
has_mnist = pytest.mark.skipif(not (HELD / "train-images-idx3-ubyte.gz").exists(), reason="CHAINRULE_DATA holds no MNIST")


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files_is_read_pixel_for_pixel_and_keeps_its_test_part(tmp_path, packed):
    made = idx_folder(tmp_path / "tiny", gzipped)
    source = load(tmp_path / "tiny")
    assert torch.equal(source.inputs[:, 0], torch.from_numpy(np.concatenate([made["train"][0], made["t10k"][0]])))
    assert source.targets.tolist() == [*made["train"][1], *made["t10k"][1]]
    assert source.parts["test"].tolist() == list(range(30, 40))
    assert describe_source(source) == {"name": "tiny", "n": 40, "inputs": [1, 5, 4], "classes": ["0", "1", "2"], "task": "class"}
    assert prepare(source).door.open("test").rows.tolist() == list(range(30, 40))


@pytest.mark.parametrize(("code", "kind"), [(9, np.int8), (0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)])
def test_idx_reads_every_element_type_with_its_byte_order(tmp_path, code, kind):
    array = (np.arange(24).reshape(2, 3, 4) * 5 - 50).astype(kind)
    path = tmp_path / "a.idx"
    path.write_bytes(idx_bytes(array, code))
    np.testing.assert_array_equal(idx.read(path).numpy(), array)


def test_a_lone_file_of_images_finds_its_labels_beside_it(tmp_path):
    made = idx_folder(tmp_path / "s")
    source = load(tmp_path / "s" / "train-images-idx3-ubyte")
    assert source.targets.tolist() == made["train"][1].tolist()
    (tmp_path / "s" / "train-labels-idx1-ubyte").unlink()
    assert load(tmp_path / "s" / "train-images-idx3-ubyte").target_kind == "none"
    with pytest.raises(InputError, match="but not its labels; expected train-labels-idx1-ubyte"):
        load(tmp_path / "s")


def damaged_idx():
    good = idx_bytes(pixels(3, 2, 2))
    gzipped = gzip.compress(good)
    flipped = bytearray(gzipped)
    flipped[len(gzipped) // 2] ^= 0x55
    return {
        "wrong magic": ("x.idx", b"\x89PNG" + good[4:],
                        r"x\.idx: expected an IDX magic number such as 00 00 08 03 at offset 0; got 89 50 4e 47"),
        "unknown type": ("x.idx", b"\0\0\x07\x03" + good[4:], "magic number"),
        "cut in the header": ("x.idx", good[:9], "ends at offset 9"),
        "cut in the values": ("x.idx", good[:-1], r"declares 3 x 2 x 2 values \(12 bytes from offset 16\); the file has 11"),
        "trailing bytes": ("x.idx", good + b"!", r"the file has 13"),
        "declares 2**72 bytes": ("x.idx", good[:4] + b"\xff" * 12, "declares 4294967295 x 4294967295"),
        "declares 2**72 bytes, packed": ("x.idx.gz", gzip.compress(good[:4] + b"\xff" * 12), "declares 4294967295 x 4294967295"),
        "packed, fewer values": ("x.idx.gz", gzip.compress(good[:-3]), "ends at offset 25, 3 short"),
        "packed, more values": ("x.idx.gz", gzip.compress(good + b"!"), "goes on beyond offset 28"),
        "cut gzip": ("x.idx.gz", gzipped[:-9], r"x\.idx\.gz: the gzip data is corrupt or cut short near offset"),
        "flipped gzip": ("x.idx.gz", bytes(flipped), r"x\.idx\.gz"),
        "not gzip": ("x.idx.gz", good, "expected the gzip magic number 1f 8b at offset 0"),
        "empty": ("x.idx", b"", r"x\.idx is empty"),
    }


@pytest.mark.parametrize("fault", damaged_idx())
def test_a_damaged_idx_file_is_named_with_the_offset(tmp_path, fault):
    name, content, message = damaged_idx()[fault]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / name)


def test_a_header_that_declares_more_than_the_file_holds_is_refused_before_allocating(tmp_path, monkeypatch):
    monkeypatch.setattr(idx.np, "empty", lambda *_: pytest.fail("allocated"))
    path = tmp_path / "x.idx"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 10**6, 10**4, 10**4) + bytes(100))
    with pytest.raises(CorruptFile, match="declares"):
        idx.read(path)


def test_every_flipped_bit_of_an_idx_header_and_every_cut_is_refused(tmp_path):
    """But for the one that turns unsigned bytes into signed ones, which no header can tell."""
    path, good = tmp_path / "x.idx", idx_bytes(pixels(2, 2, 2))
    for at in set(range(16 * 8)) - {16}:
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(CorruptFile):
            idx.read(path)
    for end in range(len(good)):
        path.write_bytes(good[:end])
        with pytest.raises(CorruptFile):
            idx.read(path)


@pytest.mark.parametrize("labels", [1, 2])
def test_cifar_records_keep_their_planes_and_fine_labels(tmp_path, labels):
    x, y = cifar_folder(tmp_path / "c", labels)
    source = load(tmp_path / "c")
    assert torch.equal(source.inputs, torch.from_numpy(x))
    assert source.targets.tolist() == y.tolist()
    assert (source.name, len(source.classes)) == (("cifar10", 10) if labels == 1 else ("cifar100", 100))
    assert source.parts["test"].tolist() == list(range(len(x) - 4, len(x)))


def test_of_a_folder_with_several_sets_the_named_one_is_read(tmp_path):
    idx_folder(tmp_path / "all")
    made = {}
    for name, labels in (("cifar10", 1), ("cifar100", 2)):
        made[name] = cifar_folder(tmp_path / name, labels)[0]
        for path in (tmp_path / name).iterdir():
            path.rename(tmp_path / "all" / path.name)
    for name, x in made.items():
        source = load(name, data_dir=tmp_path / "all")
        assert source.name == name
        assert torch.equal(source.inputs, torch.from_numpy(x))
    with pytest.raises(InputError, match=r"holds the files of IDX pictures and of cifar10 and of cifar100\. Give the name of one"):
        load(tmp_path / "all")


def test_cifar_class_names_come_from_its_own_list(tmp_path):
    cifar_folder(tmp_path / "c")
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (tmp_path / "c" / "batches.meta.txt").write_text(names.replace(" ", "\n") + "\n\n")
    assert load(tmp_path / "c").classes == tuple(names.split())


def test_a_cut_or_foreign_cifar_file_is_named_with_the_offset(tmp_path):
    cifar_folder(tmp_path / "c")
    path = tmp_path / "c" / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(CorruptFile, match=r"data_batch_3\.bin: .* end inside the record at offset 9,219"):
        load(tmp_path / "c")
    path.write_bytes(whole[:3073] + b"\x0c" + whole[3074:])
    with pytest.raises(CorruptFile, match=r"data_batch_3\.bin, offset 3,073: expected a label below 10; got 12"):
        load(path)


def test_svhn_is_transposed_and_its_ten_is_zero(tmp_path):
    from scipy.io import savemat

    x, y = pixels(6, 32, 32, 3), np.array([1, 10, 3, 4, 5, 6], np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": x.transpose(1, 2, 3, 0), "y": y[:, None]})
    savemat(tmp_path / "test_32x32.mat", {"X": x[:2].transpose(1, 2, 3, 0), "y": y[:2, None]})
    source = load(tmp_path)
    assert torch.equal(source.inputs[:6], torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    assert source.targets.tolist() == [1, 0, 3, 4, 5, 6, 1, 0]
    assert source.parts["test"].tolist() == [6, 7]
    (tmp_path / "test_32x32.mat").write_bytes((tmp_path / "test_32x32.mat").read_bytes()[:2000])
    with pytest.raises(CorruptFile, match=r"test_32x32\.mat is damaged"):
        load(tmp_path)


def picture_folder(folder, sizes=((6, 5),) * 4, mode="RGB", suffix="png"):
    made = []
    for i, (w, h) in enumerate(sizes):
        where = folder / ("cat" if i % 2 else "ant")
        where.mkdir(parents=True, exist_ok=True)
        array = pixels(1, h, w, *((3,) if mode == "RGB" else ()), seed=i)[0]
        Image.fromarray(array).save(where / f"{i}.{suffix}")
        made.append(array)
    return made


def test_a_folder_of_images_takes_its_classes_from_the_sub_folders(tmp_path):
    made = picture_folder(tmp_path / "pets")
    source = load(tmp_path / "pets")
    assert source.classes == ("ant", "cat")
    assert source.targets.tolist() == [0, 0, 1, 1]
    assert torch.equal(source.inputs, torch.from_numpy(np.stack([made[i] for i in (0, 2, 1, 3)])).permute(0, 3, 1, 2))
    assert source.origin["kind"] == "folder"
    assert load(source.origin["what"]).fingerprint == source.fingerprint


def test_grey_images_have_one_channel_and_a_mixture_three(tmp_path):
    picture_folder(tmp_path / "grey", mode="L")
    assert load(tmp_path / "grey").inputs.shape == (4, 1, 5, 6)
    picture_folder(tmp_path / "mixed", mode="L")
    Image.fromarray(pixels(1, 5, 6, 3)[0]).save(tmp_path / "mixed" / "ant" / "9.png")
    assert load(tmp_path / "mixed").inputs.shape == (5, 3, 5, 6)


def test_folders_called_train_and_test_are_parts(tmp_path):
    picture_folder(tmp_path / "set" / "train", ((6, 5),) * 6)
    picture_folder(tmp_path / "set" / "test", ((6, 5),) * 4)
    source = load(tmp_path / "set")
    assert source.classes == ("ant", "cat")
    test = source.parts["test"]
    assert len(test) == 4
    assert source.targets[test].tolist() == [0, 0, 1, 1]


def test_a_folder_that_only_bears_a_sets_name_has_none_of_its_ways(tmp_path):
    picture_folder(tmp_path / "digits", ((6, 5),) * 20)
    data = prepare(load(tmp_path / "digits"))
    assert data.encoder.inputs.maximum == 255
    made = idx_folder(tmp_path / "mnist", train=60)
    source = load(tmp_path / "mnist")
    assert source.origin["set"] is None
    assert source.classes == ("0", "1", "2")
    assert len(prepare(source).valid) == round(60 * 0.15 / 0.85)
    assert len(made["train"][0]) == 60


def test_images_turned_by_their_camera_are_set_upright(tmp_path):
    picture_folder(tmp_path / "p", ((6, 5),) * 2)
    array = pixels(1, 6, 5, 3, seed=9)[0]
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    Image.fromarray(array).save(tmp_path / "p" / "ant" / "turned.png", exif=exif)
    source = load(tmp_path / "p")
    assert torch.equal(source.inputs[1], torch.from_numpy(np.rot90(array, -1).copy()).permute(2, 0, 1))


def test_bad_image_folders_name_the_files(tmp_path):
    picture_folder(tmp_path / "mixed", ((6, 5), (6, 5), (7, 5), (6, 5)))
    with pytest.raises(InputError, match=r"ant/0\.png is 6 x 5, .*ant/2\.png is 7 x 5"):
        load(tmp_path / "mixed")
    (tmp_path / "none" / "cat").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no images; expected a folder for each class"):
        load(tmp_path / "none")
    picture_folder(tmp_path / "cut", suffix="jpg", sizes=((40, 40),) * 4)
    victim = tmp_path / "cut" / "cat" / "1.jpg"
    victim.write_bytes(victim.read_bytes()[:-300])
    with pytest.raises(CorruptFile, match=r"cat/1\.jpg is damaged"):
        load(tmp_path / "cut")
    victim.write_bytes(b"not a picture")
    with pytest.raises(CorruptFile, match=r"cat/1\.jpg is damaged or not an image"):
        load(tmp_path / "cut")


def test_an_image_that_declares_too_many_pixels_is_not_decoded(tmp_path):
    where = tmp_path / "bomb" / "a"
    where.mkdir(parents=True)
    for size in (9_000, 50_000):  # 81 and 2,500 million: below and above Pillow's own limit
        Image.new("1", (8, 8)).save(where / "x.png")
        content = bytearray((where / "x.png").read_bytes())
        content[16:24] = struct.pack(">II", size, size)

        content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
        (where / "x.png").write_bytes(content)
        with pytest.raises(InputError, match=r"x\.png declares .* pixels"):
            load(tmp_path / "bomb")


def test_gzip_that_would_flood_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gzipped, "MOST_BYTES", 2**20)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(CorruptFile, match="unpacks to more than 100 times its size"):
        load(path)


@has_mnist
def test_mnist_is_the_published_one_and_divides_as_is_customary():
    """Counts per class of the training and test parts are those of the original files."""
    source = load("mnist", data_dir=HELD)
    train, test = source.targets[:60_000], source.targets[source.parts["test"]]
    assert torch.bincount(train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert load(HELD).name == "mnist"
    data = prepare(source)
    assert (len(data.train), len(data.valid), len(data.door)) == (50_000, 10_000, 10_000)
    assert data.train.x.dtype == torch.uint8
    assert data.train.x.data_ptr() == source.inputs.data_ptr(), "consecutive rows are not copied"
    assert float(data.ready(data.train.x[:100]).max()) == 1.0
    shares = prepare(source, split={"train": 0.6, "valid": 0.4}, classes=["3", "8"])
    assert shares.classes == ("3", "8")
    assert len(shares.door) == 1010 + 974
    assert len(shares.valid) == pytest.approx(0.4 * (6131 + 5851), abs=2)


@has_mnist
def test_another_set_under_the_name_of_mnist_is_refused(tmp_path):
    idx_folder(tmp_path / "mnist")
    with pytest.raises(CorruptFile, match="is not the published mnist file"):
        load("mnist", data_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (HELD / "cifar10-jpeg.xz").exists(), reason="CHAINRULE_DATA holds no CIFAR-10")
def test_cifar10_has_its_counts(tmp_path):
    subprocess.run([sys.executable, HELD / "unpack_cifar10.py", tmp_path / "cifar10"], check=True)
    assert [p.stat().st_size for p in sorted((tmp_path / "cifar10").glob("*.bin"))] == [30_730_000] * 6
    source = load("cifar10", data_dir=tmp_path)
    assert torch.bincount(source.targets[:50_000]).tolist() == [5000] * 10
    assert torch.bincount(source.targets[source.parts["test"]]).tolist() == [1000] * 10
    assert source.classes[3] == "cat"


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
(%pipe%touch MARK) (w) file closefile
showpage
"""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".gif"])
def test_a_program_in_a_picture_does_not_run(suffix, tmp_path, monkeypatch):
    """Pillow gives PostScript to Ghostscript, whatever the file is called: a fake one would leave a mark."""
    mark, programs = tmp_path / "ran", tmp_path / "bin"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / f"1{suffix}").write_bytes(POSTSCRIPT.replace(b"MARK", str(mark).encode()))
    with Image.open(tmp_path / "set" / "a" / f"1{suffix}") as picture, contextlib.suppress(OSError):
        picture.load()
    assert mark.exists()                # so that the test can fail
    mark.unlink()
    with pytest.raises(CorruptFile, match=rf"1\{suffix} is damaged or not an image"):
        load(tmp_path / "set")
    assert not mark.exists()
