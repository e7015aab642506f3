"""Openings of a test part are counted by what its rows hold, in the folder and in the account, and what is missing of either is said."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.files import write_all
from chainrule.data.load import load
from chainrule.data.row_contents import content_of
from chainrule.runs import ledger
from chainrule.runs.ledger import Entry, Ledgers, account_ledger, append, read_lines

ROWS = {"a": [float(i % 7) for i in range(60)], "b": [float(i * i % 11) for i in range(60)], "kind": ["xyz"[i % 3] for i in range(60)]}


def table(path, **columns):
    pl.DataFrame({**ROWS, **columns}).write_csv(path)
    return path


def train(data, out, **options):
    return cr.train(data, net="linear", epochs=1, plan="eager", out=out, progress=False, **{"target": "kind", **options})


def opened_before(result):
    return [note for note in result.notes if "opened before" in note]


def test_another_folder_a_copy_and_a_renamed_column_are_known_again(tmp_path):
    data = table(tmp_path / "d.csv")
    first = train(data, tmp_path / "one" / "r").test()
    assert (first.opened, opened_before(first)) == (1, [])
    elsewhere = train(data, tmp_path / "two" / "r").test()
    assert elsewhere.opened == 2
    assert str(tmp_path / "one" / "r") in opened_before(elsewhere)[0]
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    copied = cr.Run(tmp_path / "three" / "r").test()
    assert copied.opened == 3                                        # what the copy took along is the same opening, counted once
    assert str(tmp_path / "two" / "r") in opened_before(copied)[0]
    renamed = tmp_path / "renamed.csv"
    pl.read_csv(data).rename({"a": "z", "kind": "sort"}).select("sort", "b", "z").write_csv(renamed)
    assert train(renamed, tmp_path / "four" / "r", target="sort").test().opened == 4
    other = table(tmp_path / "other.csv", a=[float(i % 5) for i in range(60)])
    assert train(other, tmp_path / "five" / "r").test().opened == 1


def test_a_ledger_that_was_deleted_or_shortened_is_said(tmp_path):
    run = train(table(tmp_path / "d.csv"), tmp_path / "runs" / "r")
    assert [run.test().opened for _ in range(3)] == [1, 2, 3]
    beside = tmp_path / "runs" / "openings.jsonl"
    kept = beside.read_bytes()
    beside.unlink()
    after = run.test()
    assert after.opened == 4
    assert any("lacks 3 openings" in note for note in after.notes)
    beside.write_bytes(b"\n".join([kept.split(b"\n")[0], *kept.split(b"\n")[2:]]))
    broken = run.test()
    assert broken.opened == 5
    assert any("do not follow from one another" in note and str(beside) in note for note in broken.notes)
    assert any("lacks 2 openings" in note for note in broken.notes)
    account_ledger().unlink()
    assert run.test().opened == 4                                    # what the folder's own still has: 3 lines, and this one


def test_a_line_that_was_changed_breaks_the_chain(tmp_path):
    path = tmp_path / "l"
    for number in range(4):
        append(path, Entry("t", f"r{number}", "test", "now", "c", id=str(number)))
    lines = path.read_bytes().splitlines()
    assert read_lines(lines).whole
    assert not read_lines([lines[0], lines[1].replace(b"r1", b"r9"), *lines[2:]]).whole
    assert not read_lines([lines[0], lines[2], lines[3]]).whole
    assert not read_lines(lines[1:]).whole
    assert not read_lines([lines[1], lines[0], *lines[2:]]).whole


@pytest.mark.parametrize("content", [b'{"test_set": "to', b"\xff\x00\x80" * 100, b"[]\n{}\nnull\n", b"\n\n\n", b"[" * 100_000,
                                     b'{"test_set": "t", "run": 7, "reason": "", "time": ""}\n'])
def test_what_is_no_entry_is_passed_over_and_stays(content, tmp_path):
    path = tmp_path / "l"
    path.write_bytes(content)
    assert append(path, Entry("t", "r", "test", "now", id="1")).entries == ()
    assert [one.id for one in append(path, Entry("t", "r", "test", "now", id="2")).entries] == ["1"]
    assert path.read_bytes().startswith(content)
    assert read_lines(path.read_bytes().splitlines()).whole


def test_entries_of_earlier_versions_count(tmp_path):
    old = {"test_set": "t", "run": "r", "reason": "test", "time": "then"}
    (tmp_path / "l").write_text(json.dumps(old) + "\n" + json.dumps(old) + "\n")
    opening = Ledgers(tmp_path / "l", None).open(tmp_path / "r", "t", "", "test")
    assert opening.count == 3
    assert any("this account has no folder" in note for note in opening.notes)


def test_an_account_that_cannot_be_written_is_said_and_the_folder_counts(tmp_path):
    (tmp_path / "account").mkdir()
    opening = Ledgers(tmp_path / "l", tmp_path / "account").open(tmp_path / "r", "t", "c", "test")
    assert opening.count == 1
    assert f"{tmp_path / 'account'}: Is a directory" in opening.notes[0]
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}" in Ledgers(tmp_path / "l", tmp_path / "file" / "l").open(tmp_path / "r", "t", "c", "test").notes[0]


def test_a_write_that_is_cut_short_keeps_the_part_shut(tmp_path, monkeypatch):
    writes = []

    def little(descriptor, content):
        writes.append(len(content))
        return os.write(descriptor, bytes(content[:10]))

    class Short:
        write = staticmethod(little)

    monkeypatch.setattr("chainrule.core.files.os", Short)
    path = tmp_path / "l"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, b"x" * 95)
    os.close(descriptor)
    assert path.read_bytes() == b"x" * 95
    assert len(writes) == 10

    def none(descriptor, content):
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(ledger, "write_all", none)
    with pytest.raises(InputError, match=r"No space left on device \(.*\), so it stays shut"):
        Ledgers(tmp_path / "l", None).open(tmp_path / "r", "t", "c", "test")


def test_the_account_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert account_ledger() == tmp_path / "state" / "chainrule" / "openings.jsonl"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert account_ledger() == tmp_path / "home" / ".local" / "state" / "chainrule" / "openings.jsonl"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert account_ledger() is None


def test_what_rows_hold_has_one_name(tmp_path):
    data = table(tmp_path / "d.csv")
    source, some = load(data, target="kind"), torch.tensor([3, 5, 9, 20])
    name = content_of(source, some)
    assert len(name) == 16
    assert content_of(source, some.flip(0)) == name
    assert content_of(source, torch.tensor([3, 5, 9, 21])) != name
    assert content_of(load(data, target="a"), some) == name                  # another column as the target: the same rows
    assert content_of(source, some[:0]) == ""
    changed = table(tmp_path / "e.csv", b=[9.0 if i == 9 else v for i, v in enumerate(ROWS["b"])])
    assert content_of(load(changed, target="kind"), some) != name
    assert content_of(load(changed, target="kind"), some[:2]) == content_of(source, some[:2])
    x, y = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    assert content_of(load((x, y)), torch.tensor([0, 1])) != content_of(load((x, 1 - y)), torch.tensor([0, 1]))
