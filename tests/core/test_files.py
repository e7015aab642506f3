"""Files that are whole or not there; the order of the system calls is the business of tests/reliability/test_write_order.py."""

import errno
import os

import pytest

from chainrule.core import files
from chainrule.core.files import STRAY, keep_as, remove_strays, write_atomically


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_content_is_there_and_nothing_else(tmp_path):
    for content in (b"", b"one", os.urandom(300_000)):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
        assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_where_it_fails_the_old_file_stays_and_no_temporary_one(tmp_path, monkeypatch, call):
    write_atomically(tmp_path / "file", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, _raise)
        with pytest.raises(OSError, match="No space"):
            write_atomically(tmp_path / "file", b"new", keep=tmp_path / "older")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def _raise(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_interrupt_in_the_middle_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "file", b"new")
    assert names(tmp_path) == []


def test_the_older_file_keeps_another_name_and_survives_a_failed_write(tmp_path, monkeypatch):
    new, old = tmp_path / "new", tmp_path / "old"
    for content in (b"1", b"2", b"3"):
        write_atomically(new, content, keep=old)
    assert (new.read_bytes(), old.read_bytes()) == (b"3", b"2")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", _raise)
        with pytest.raises(OSError, match="No space"):
            write_atomically(new, b"4", keep=old)
    assert (new.read_bytes(), old.read_bytes()) == (b"3", b"2"), "the older file was given up for one that then did not fit"


def test_keeping_what_is_kept_already_leaves_no_third_name(tmp_path):
    """A rename between two names of one file does nothing, and would leave the temporary name behind."""
    (tmp_path / "a").write_bytes(b"x")
    for _ in range(3):
        keep_as(tmp_path / "a", tmp_path / "b")
        assert names(tmp_path) == ["a", "b"]
    keep_as(tmp_path / "missing", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x"


def test_the_name_is_never_absent_while_it_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x")
    replace, seen = os.replace, []

    def watched(path, to):
        seen.append((tmp_path / "a").exists())
        replace(path, to)
        seen.append((tmp_path / "a").exists())

    monkeypatch.setattr(files.os, "replace", watched)
    write_atomically(tmp_path / "a", b"y", keep=tmp_path / "b")
    assert seen == [True] * 4


def test_strays_are_removed_and_nothing_else(tmp_path):
    keep = {"a.tmp", ".hidden", "last.safetensors", "x.tmp.safetensors"}
    for name in {*keep, f".last.safetensors.123{STRAY}", f".x.4{STRAY}"}:
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / f".y.5{STRAY}").touch()
    assert remove_strays(tmp_path) == 2
    assert set(names(tmp_path)) == {*keep, "below"}
    assert (tmp_path / "below" / f".y.5{STRAY}").exists()


def test_where_no_second_name_can_be_given_the_older_file_is_a_copy(tmp_path, monkeypatch):
    """File systems of memory cards and some network shares refuse hard links."""

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path, older = tmp_path / "last", tmp_path / "previous"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two", keep=older)
    assert (path.read_bytes(), older.read_bytes()) == (b"two", b"one")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last", "previous"]
