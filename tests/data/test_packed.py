"""Packed files: their names in any case, and the one member of a ZIP archive."""

import gzip
import io
import sys
import zipfile
from pathlib import Path

import pytest
from workbook import workbook

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.readers import gzipped
from chainrule.data.readers.table_files import read_file


def archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in members.items():
            made.writestr(name, text)
    return path


@pytest.mark.parametrize(("name", "suffix", "stem"), [
    ("t.csv", ".csv", "t"), ("T.CSV", ".csv", "T"), ("t.csv.GZ", ".csv", "t"), ("a.b.Csv.zip", ".csv", "a.b"), ("x.npz", ".npz", "x"),
])
def test_the_kind_of_a_file_is_told_by_its_name_in_any_case(name, suffix, stem):
    assert (gzipped.suffix_of(Path(name)), gzipped.stem_of(Path(name))) == (suffix, stem)


def test_the_one_member_of_an_archive_is_the_content(tmp_path):
    text = "a,y\n" + "1,2\n" * 5000
    path = archive(tmp_path / "t.csv.ZIP", **{"t.csv": text, "__MACOSX/._t.csv": "x"})
    assert gzipped.content(path) == text.encode()
    with gzipped.Packed(path) as pieces:
        assert b"".join(iter(lambda: pieces.take(777), b"")) == text.encode()


def test_archives_of_several_files_and_damaged_ones_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds 2 files \(a\.csv, b\.csv\); expected one table"):
        gzipped.content(archive(tmp_path / "t.csv.zip", **{"a.csv": "1", "b.csv": "2"}))
    (tmp_path / "u.csv.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(CorruptFile, match="damaged, locked, or no ZIP archive"):
        gzipped.content(tmp_path / "u.csv.zip")
    whole = io.BytesIO(archive(tmp_path / "v.csv.zip", **{"v.csv": "x" * 9000}).read_bytes()).getvalue()
    (tmp_path / "v.csv.zip").write_bytes(whole.replace(whole[40:44], b"\xff\xff\xff\xff", 1))
    with pytest.raises(CorruptFile, match="the ZIP data is corrupt"):
        gzipped.content(tmp_path / "v.csv.zip")


@pytest.mark.parametrize("where", ["listed", "before its content"])
@pytest.mark.parametrize(("name", "changed", "message"), [
    ("v.csv", b"\0.csv", "holds 0 files; expected one table"),                       # a name ends with a NUL, and so is none
    ("é.csv", b"\xff\xff.csv", r"damaged, locked, or no ZIP archive.*decode"),
])
def test_an_archive_whose_names_are_damaged_is_refused(where, name, changed, message, tmp_path):
    """Mutants that a parser of names ended over."""
    path, written = archive(tmp_path / "t.csv.zip", **{name: "a,y\n1,2\n" * 900}), name.encode()
    content = path.read_bytes()
    at = content.rindex(written) if where == "listed" else content.index(written)
    path.write_bytes(content[:at] + changed + content[at + len(written) :])
    with pytest.raises(InputError, match=message if where == "listed" or changed[0] else "damaged, locked, or no ZIP archive: File name"):
        gzipped.content(path)


def test_what_unpacks_to_far_more_than_it_is_is_left_alone(tmp_path, monkeypatch):
    """With limits a thousandth of the usual: an archive of zeros, the same as gzip, and a workbook, an archive in itself."""
    monkeypatch.setattr(gzipped, "MOST_BYTES", 2**21)
    flood = "a,y\n" + "1,2\n" * 2**20
    for path in (archive(tmp_path / "t.csv.zip", **{"t.csv": flood}), tmp_path / "t.csv.gz"):
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(flood.encode()))
        with pytest.raises(CorruptFile, match="unpacks to more than 100 times its size"):
            read_file(path)
    (tmp_path / "t.xlsx").write_bytes(workbook(["a", "y"], [(1, 2)], padding=2**22))
    with pytest.raises(CorruptFile, match="unpacks to more than 100 times its size"):
        read_file(tmp_path / "t.xlsx")


def test_without_the_package_for_excel_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "t.xlsx").write_bytes(workbook(["a", "y"], [(1, 2)]))
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(InputError, match=r"needs the package fastexcel\. Install it \(pip install 'chainrule\[excel\]'\), or save"):
        read_file(tmp_path / "t.xlsx")
