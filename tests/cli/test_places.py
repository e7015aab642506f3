"""Where commands write: a folder that is called like a file is refused, and a command that was interrupted names one that is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.cli.main import run_command
from chainrule.cli.signals import again
from chainrule.core.errors import InputError
from chainrule.core.files import folder_for

FOLDERS = {"train": ["train", "iris"], "members": ["train", "iris", "--members", "2"], "sweep": ["sweep", "iris", "--over", "seed=0,1"],
           "boost": ["boost", "iris"], "check": ["check", "iris"], "find-rate": ["find-rate", "iris"],
           "recipe": ["recipe", "xor", "--short"], "canon": ["canon", "A1", "--short"]}


@pytest.mark.parametrize("words", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_not_called_like_a_file(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, instead in (("r.png", "r"), ("deep/r.JSON", "deep/r")):
        assert run_command([*words, "--out", name]) == 2
        assert capsys.readouterr().err.rstrip().endswith(f"--out {name} is a name for a file; expected that of a folder, into which all is "
                                                         f"written. Use e.g. --out {instead}.")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_may_be_called_as_it_is_and_a_point_makes_no_file(tmp_path):
    (tmp_path / "run.png").mkdir()
    (tmp_path / "plain").write_text("")
    for name in ("run.png", "iris-0.1", "v1.2", ".csv"):
        assert folder_for(tmp_path / name) == tmp_path / name
    with pytest.raises(InputError, match="is a file; a folder is expected"):
        folder_for(tmp_path / "plain")


@pytest.mark.parametrize(("words", "there", "following"), [
    (["predict", "r", "iris", "--out", "p.csv"], [], "predict r iris --out p.csv"),
    (["predict", "r", "iris", "--out", "p.csv"], ["p.csv"], "predict r iris --out p.csv --overwrite"),
    (["report", "r", "--overwrite", "--out=p.html"], ["p.html"], "report r --overwrite --out=p.html"),
    (["committee", "a", "b", "--out", "c/"], ["c/committee.json", "c-1/x"], "committee a b --out c-2"),
    (["committee", "a", "b", "--out=c"], ["c/committee.json"], "committee a b --out=c-1"),
    (["committee", "a", "b", "--out=c"], ["c/other"], "committee a b --out=c"),
    (["train", "iris", "--out=r"], ["r/run.json"], "resume r"),
    (["sweep", "iris", "--over", "seed=0,1", "--out", "r"], ["r/sweep.json"], "resume r"),
    (["train", "iris", "--json", "--out", "r", "--test"], ["r/run.json"], "resume r --test --json"),
    (["check", "iris", "--out"], [], "check iris --out"),
])
def test_what_an_interrupted_command_names_is_not_refused(words, there, following, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in there:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")
    assert again("Interrupted.", words).endswith(f"with: chainrule {following}")


def test_what_was_to_be_done_at_the_end_is_done_by_what_goes_on():
    saved = "Interrupted; everything is saved. Go on with: chainrule resume r"
    assert again(saved, ["train", "iris", "--test", "--epochs", "3"]) == f"{saved} --test"
    assert again(saved, ["train", "iris"]) == saved


LATE = """
import atexit, os, signal, sys
from chainrule.cli.main import main

atexit.register(lambda: os.kill(os.getpid(), getattr(signal, sys.argv.pop())))
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="no such signals here")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_comes_after_the_command_leaves_no_traceback(name):
    signal_of = {"preexec_fn": lambda: signal.signal(getattr(signal, name), signal.SIG_DFL)}
    done = subprocess.run([sys.executable, "-c", LATE, "--version", name], capture_output=True, text=True, **signal_of,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.returncode == -getattr(signal, name)
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("chainrule ")


def test_ctrl_c_in_any_command_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    """The parser turns it into an exit code of its own, which once was taken for an end without fault."""
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("chainrule.workflows.find_rate.find_rate", interrupted)
    assert run_command(["find-rate", "iris"]) == 130
    assert capsys.readouterr().err == "Interrupted. Run it again with: chainrule find-rate iris\n"
    assert run_command(["--version"]) == 0
