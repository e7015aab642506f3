"""A disk that is full at whichever write of a command: one sentence with the path, what is needed and what is free, and no traceback."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stops import After

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core import files
from chainrule.core.errors import InputError, Interrupted
from chainrule.engine.store import Store

PLAIN = ["--plan", "eager"]
COMMANDS = {
    "train": ["train", "iris", "--net", "mlp:hidden=4", "--epochs", "2", "--save-every", "0", *PLAIN, "--out", "r"],
    "sweep": ["sweep", "iris", "--net", "mlp:hidden=4", "--epochs", "1", "--over", "seed=0,1", *PLAIN, "--out", "s"],
    "boost": ["boost", "wine", "--net", "mlp:hidden=6", "--epochs", "3", "--batch", "4", "--optimizer", "adam:rate=0.01", "--rounds", "2",
              *PLAIN, "--out", "b"],
    "resume": ["resume", "begun"],
    "test": ["test", "done"],
    "predict": ["predict", "done", "iris", "--out", "p.csv"],
    "report": ["report", "done", "--overwrite"],
    "compare": ["compare", "done", "knn", "--out", "c.html"],
    "check": ["check", "iris", "--net", "softmax", "--epochs", "2", *PLAIN, "--out", "k"],
    "find-rate": ["find-rate", "iris", "--net", "mlp:hidden=4", *PLAIN, "--out", "f"],
    "committee": ["committee", "many", "--out", "m"],
    "threshold": ["threshold", "done", "--class", "setosa", "--recall", "0.9"],
    "export": ["export", "done", "--to", "safetensors", "--overwrite"],
}
KINDS = {errno.ENOSPC: "No space left on device", errno.EIO: "Input/output error", errno.EACCES: "Permission denied",
         errno.EROFS: "Read-only file system", errno.EDQUOT: "Disk quota exceeded"}


class Failing:
    """Stands in for the module `os` where files are written: call number `at` of `which`, and `more` after it, fail."""

    def __init__(self, which, at, kind=errno.ENOSPC, more=0):
        self.which, self.at, self.kind, self.more, self.calls = which, at, kind, more, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name != self.which:
            return real

        def call(*given):
            if name == "open" and not given[1] & (os.O_WRONLY | os.O_RDWR):
                return real(*given)
            self.calls += 1
            if self.at <= self.calls <= self.at + self.more:
                raise OSError(self.kind, KINDS[self.kind])
            return real(*given)

        return call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    top = tmp_path_factory.mktemp("made")
    asked = {"net": "mlp:hidden=4", "plan": "eager", "progress": False}
    cr.train("iris", epochs=2, out=top / "done", **asked)
    after = After(2)
    with pytest.raises(Interrupted):
        cr.train("iris", epochs=5, out=top / "begun", save_every=0, stop=after, sinks=[after], **asked)
    cr.sweep("iris", over={"bootstrap": (1, 2)}, epochs=1, out=top / "many", **asked)
    return top


def fails(made, place, monkeypatch, capsys, name, failing):
    """The exit code and what was said of a command whose writes fail so, and how many writes it made."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(made, place)
    monkeypatch.chdir(place)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", failing)
        code = run_command(COMMANDS[name])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_write_of_a_command_finds_the_disk_full(name, made, tmp_path, monkeypatch, capsys):
    calls = Failing("write", 10**9)
    code, said = fails(made, tmp_path / "w", monkeypatch, capsys, name, calls)
    assert code == 0, said
    every = range(1, calls.calls + 1)
    for at in every if calls.calls <= 14 else [*every[:8], *every[8:-6:7], *every[-6:]]:
        code, said = fails(made, tmp_path / "w", monkeypatch, capsys, name, Failing("write", at))
        assert "Traceback" not in said
        assert not list(Path().glob("crash*")), (at, said)
        assert not list(Path().rglob(f".*{files.STRAY}")), (at, said)
        if code:
            assert re.search(r"No space left on device \(.*bytes are needed, [\d,]+ bytes are free\)", said), (at, said)
            again = re.search(r"chainrule resume (\S+?)[.]?$", said, re.MULTILINE)
            if "The report r" in said:                                  # of a run that is whole
                assert run_command(["report", "r", "--overwrite"]) == 0
            elif again:
                assert run_command(["resume", again[1]]) == 0, (at, said)
            elif name not in ("train", "sweep", "boost") or "use another --out" not in said.lower():
                assert run_command(COMMANDS[name]) == 0, (at, said, capsys.readouterr().err)
            capsys.readouterr()
        else:
            assert name in ("train", "sweep", "boost", "resume", "test", "committee") or not said.count("cannot")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["write", "open", "replace"])
def test_whatever_the_system_says_is_one_sentence(kind, which, made, tmp_path, monkeypatch, capsys):
    for name in ("report", "threshold", "check", "train"):
        code, said = fails(made, tmp_path / "w", monkeypatch, capsys, name, Failing(which, 1, kind, more=10**6))
        assert code in (1, 2), said
        assert KINDS[kind] in said
        assert "Traceback" not in said
        assert not list(Path().glob("crash*")), said


def test_a_momentary_full_disk_costs_a_warning_and_not_the_run(made, tmp_path, monkeypatch, capsys):
    calls = Failing("write", 10**9)
    assert fails(made, tmp_path / "w", monkeypatch, capsys, "train", calls)[0] == 0
    before = 6                                                # what is laid down before the first step
    survived = 0
    for at in range(before, calls.calls - 8, 3):
        code, said = fails(made, tmp_path / "w", monkeypatch, capsys, "train", Failing("write", at))
        if code == 0:
            survived += 1
            events = [type(e).__name__ for e in cr.Run("r").events]
            assert events[0] == "Started"
            assert events[-1] == "Finished"
            assert [e.at for e in cr.Run("r").events] == sorted({e.at for e in cr.Run("r").events}), said
    assert survived >= 3


def test_the_space_for_two_checkpoints_is_asked_for_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.engine.store.free_bytes", lambda _: 1000)
    with pytest.raises(InputError, match=r"two checkpoints of this training, and its best weights, take [\d,]+ bytes, and 1,000 are free"):
        cr.train("iris", net="mlp:hidden=100", epochs=1, plan="eager", out=tmp_path / "r", progress=False)
    assert Store(tmp_path / "r", "x").position() is None


def test_names_longer_than_a_file_may_have(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    long = "x" * 300
    for words in (["train", "iris", "--out", long], ["train", f"{long}.csv"], ["test", long], ["train", "iris", "--config", long],
                  ["predict", long, "iris"], ["train", "iris", "--data-dir", long]):
        assert run_command(words) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert not list(Path().glob("crash*"))


def test_a_folder_that_is_removed_meanwhile(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")

    class Removing(Failing):
        def __getattr__(self, name):
            if name == "write" and Path("r/run.json").exists():
                shutil.rmtree("r")
            return getattr(os, name)

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", Removing("", 0))
        assert run_command(COMMANDS["train"]) in (1, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "No such file or directory" in said


TMPFS = """
import os, subprocess, sys
from pathlib import Path
place = Path(sys.argv[1])
if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sys.argv[2]}", "none", str(place)], capture_output=True).returncode:
    sys.exit(77)
from chainrule.cli.main import run_command
code = 1
try:
    code = run_command([word.replace("PLACE", str(place)) for word in sys.argv[3:]])
finally:
    print(sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.name.startswith(".")))
    os.chdir("/")
    subprocess.run(["umount", "-l", str(place)], capture_output=True)
sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize(("size", "words"), [
    ("64k", ["train", "iris", "--net", "mlp:hidden=200", "--epochs", "2", "--plan", "eager", "--out", "PLACE/r"]),
    ("24k", ["predict", "DONE", "digits", "--out", "PLACE/p.csv"]),
    ("16k", ["predict", "DONE", "digits", "--out", "PLACE/p.parquet"]),
    ("24k", ["predict", "DONE", "digits", "--out", "PLACE/p.npz"]),
    ("16k", ["report", "DONE", "--out", "PLACE/x.html"]),
])
def test_a_real_small_disk(size, words, tmp_path):
    done = tmp_path / "done"
    cr.train("digits", net="linear", epochs=1, plan="eager", out=done, progress=False)
    (tmp_path / "disk").mkdir()
    words = [word.replace("DONE", str(done)) for word in words]
    ended = subprocess.run([sys.executable, "-c", TMPFS, tmp_path / "disk", size, *words], capture_output=True, text=True, check=False,
                           cwd=tmp_path, timeout=120, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    if ended.returncode == 77:
        pytest.skip("no file system can be mounted here")
    assert ended.returncode in (1, 2), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "PLACE" not in ended.stderr
    assert str(tmp_path / "disk") in ended.stderr
    assert re.search("bytes are free|are free|os error 28|No space left", ended.stderr), ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]", "a temporary file stayed"
    assert not list(tmp_path.glob("crash*")), ended.stderr
