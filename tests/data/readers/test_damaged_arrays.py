"""Array files whose damage shows only inside a borrowed parser, and files of one set that lie beside each other packed and plain."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from made_data import idx_bytes, pixels

from chainrule.cli.main import run_command
from chainrule.core.errors import CorruptFile
from chainrule.data.load import load

OPEN = {          # literals that end inside a bracket or a word, so that the tokens end before the parser expects it
    "bracket": "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3",
    "word": "{'descr': '''<f8', 'fortran_order': False, 'shape': (4, 3), }",
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def npy(header):
    """An array of 4 x 3 under a header of one's own, of version 1."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(96)


def refused(path, capsys):
    """What reading a file says, which is an error of ours in one line from Python, and the same from the command line, without a crash."""
    with pytest.raises(CorruptFile) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert run_command(["train", str(path), "--epochs", "1", "--out", str(path.with_name("run"))]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not list(path.parent.glob("crash*")), "nobody expected it"
    return message


@pytest.mark.parametrize("header", OPEN)
def test_a_header_whose_literal_does_not_end(header, tmp_path, capsys):
    (tmp_path / "a.npy").write_bytes(npy(OPEN[header]))
    assert "expected an npy header at offset 0" in refused(tmp_path / "a.npy", capsys)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(OPEN[header]))
    assert "array 'x': expected an npy header at offset 0" in refused(tmp_path / "a.npz", capsys)


@pytest.mark.parametrize("at", [0, 40])
def test_an_archive_whose_packed_numbers_are_damaged(at, tmp_path, capsys):
    """A block of a kind that deflate does not have, as the first thing there is, and after the header of the array."""
    into = io.BytesIO()
    np.savez_compressed(into, x=np.random.default_rng(0).normal(size=(40, 3)))
    content = bytearray(into.getvalue())
    with zipfile.ZipFile(into) as archive:
        (entry,) = archive.infolist()
    names = struct.unpack("<HH", content[entry.header_offset + 26 : entry.header_offset + 30])
    begin = entry.header_offset + 30 + sum(names)
    content[begin + at] = 0x07 if at == 0 else content[begin + at] ^ 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    assert "is damaged or not an .npz archive" in refused(tmp_path / "a.npz", capsys)


@pytest.mark.parametrize("given", ["x.idx", "x.idx.gz"])
def test_the_same_images_plain_and_packed_are_no_labels_of_each_other(given, tmp_path):
    shown = pixels(6, 4, 3)
    (tmp_path / "x.idx").write_bytes(idx_bytes(shown))
    (tmp_path / "x.idx.gz").write_bytes(gzip.compress(idx_bytes(shown)))
    source = load(tmp_path / given)
    assert source.targets is None
    assert source.target_kind == "none"
    assert torch.equal(source.inputs[:, 0], torch.from_numpy(shown))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_that_memory_does_not_hold_is_not_called_damaged(name, tmp_path, monkeypatch, capsys):
    def read_array(*_, **__):
        raise MemoryError("Unable to allocate 3 GiB")

    (np.save if name == "a.npy" else np.savez)(tmp_path / name, np.ones((4, 3)))
    monkeypatch.setattr(np.lib.format, "read_array", read_array)
    assert run_command(["train", name, "--target", "none", "--epochs", "1"]) == 1
    assert capsys.readouterr().err.startswith("There is not enough memory for this.")
