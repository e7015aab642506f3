"""Run folders that others prepared: what a command writes stays inside, whatever lies under the names that it writes to."""

import json
import os
from pathlib import Path

import pytest

from chainrule.cli.main import run_command
from chainrule.core.errors import CorruptFile
from chainrule.core.files import open_plain, write_atomically
from chainrule.workflows import sweep

TRAIN = ("train", "iris", "--net", "linear", "--epochs", "2", "--plan", "eager")
pytestmark = pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system has no such links")


@pytest.fixture
def outside(tmp_path):
    """A file that nothing may write to."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"
    assert [p.name for p in path.parent.iterdir()] == ["precious"]


@pytest.mark.parametrize("name", ["lock", "lock.guard", "log.jsonl"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_link_or_pipe_where_a_run_writes_is_refused_or_replaced(name, kind, tmp_path, outside, capsys):
    run = tmp_path / "run"
    run.mkdir()
    if kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(outside if kind == "link" else outside.with_name("new"))
    code = run_command([*TRAIN, "--out", str(run)])
    err = capsys.readouterr().err.strip().splitlines()[-1]
    if code == 0:                          # replaced, as whole files are
        assert (run / name).is_file()
        assert not (run / name).is_symlink()
        return
    assert code == 2, err
    assert str(run / name) in err
    assert not (run / "best.safetensors").exists()


@pytest.mark.parametrize("name", ["run.json", "best.safetensors", "last.safetensors", "encoder.safetensors", "report.html", "classes.png",
                                  "confusion.png", "test.json", "curves.png"])
def test_a_link_under_the_name_of_a_whole_file_is_replaced(name, tmp_path, outside, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command([*TRAIN, "--out", "run"]) == 0
    (tmp_path / "run" / name).unlink(missing_ok=True)
    if name in ("run.json", "best.safetensors", "last.safetensors", "encoder.safetensors"):
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / name).symlink_to(outside)
        assert run_command([*TRAIN, "--out", "fresh"]) in (0, 2)
        return
    (tmp_path / "run" / name).symlink_to(outside)
    assert run_command(["test", "run"]) == 0
    assert run_command(["report", "run", "--overwrite"]) in (0, 2)


def test_the_ledger_is_no_link_and_its_torn_line_stays_apart(tmp_path, outside, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command([*TRAIN, "--out", "run"]) == 0
    (tmp_path / "openings.jsonl").symlink_to(outside)
    assert run_command(["test", "run"]) == 2
    assert "openings.jsonl" in capsys.readouterr().err
    (tmp_path / "openings.jsonl").unlink()
    (tmp_path / "openings.jsonl").write_bytes(b'\xff\x00{"test_set": "to')
    assert run_command(["test", "run"]) == 0
    lines = (tmp_path / "openings.jsonl").read_bytes().splitlines()
    assert lines[0] == b'\xff\x00{"test_set": "to'
    assert json.loads(lines[1])["run"] == "run"
    (tmp_path / "openings.jsonl").unlink()
    (tmp_path / "openings.jsonl").mkdir()
    assert run_command(["test", "run"]) == 2
    assert "openings.jsonl" in capsys.readouterr().err


def test_a_link_under_a_temporary_name_is_removed(tmp_path, outside):
    path = tmp_path / "x"
    path.with_name(f".x.{os.getpid()}.tmp").symlink_to(outside)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["../outside", "..", "", "a/b", "/tmp", "a\\b", "c:", 7, None])
def test_members_of_a_sweep_lie_in_its_folder(name, tmp_path, outside):
    record = {"format": sweep.FORMAT, "sweep": "s", "over": [], "members": [{"folder": name, "settings": {}}]}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    with pytest.raises(CorruptFile, match=r"names members that are no folders|members\[0\].folder expects text"):
        sweep.read_record(tmp_path)


def test_a_device_is_no_plain_file():
    with pytest.raises(OSError, match="a link, a pipe or a device"):
        open_plain(Path("/dev/null"), os.O_WRONLY)
