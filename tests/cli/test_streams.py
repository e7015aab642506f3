"""Streams that are full or closed, no home, empty paths, pipes and devices in the place of files: a sentence in time, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.cli.main import run_command

ROOT = str(Path(__file__).parents[2])
SECONDS = 60


def shell(command, folder, seconds=SECONDS, **environment):
    """A command of a shell, killed where it takes too long; None there."""
    kept = {name: value for name, value in os.environ.items() if name not in environment}
    given = {name: value for name, value in environment.items() if value is not None}
    words = ["timeout", "-s", "KILL", str(seconds), "sh", "-c", command.replace("chainrule", f"{sys.executable} -m chainrule")]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL,
                          env={**kept, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", **given})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    cr.train("iris", net="linear", epochs=1, plan="eager", out=folder / "r", progress=False)
    return folder


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["chainrule list nets", "chainrule test r --json", "chainrule --version"])
def test_a_full_device_for_output(command, run):
    ended = shell(f"{command} > /dev/full", run)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.strip() == "The output cannot be written: No space left on device."
    assert not list(run.glob("crash*"))


@pytest.mark.parametrize("streams", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_lead_nowhere_and_no_file_takes_their_place(streams, run, tmp_path):
    ended = shell(f"chainrule train iris --net linear --epochs 2 --plan eager --out {tmp_path / 'r'} {streams}", run)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    again = cr.Run(tmp_path / "r")
    assert [e.epoch for e in again.events if type(e).__name__ == "Evaluated"] == [1, 2]
    assert again.valid.n == 23


def test_without_a_home(run, tmp_path):
    ended = shell(f"chainrule train iris --net linear --epochs 1 --out {tmp_path / 'r'} --test", run, HOME=None, XDG_STATE_HOME=None)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said


@pytest.mark.parametrize(("words", "sentence"), [
    (["train", "iris", "--out", ""], "--out is given nothing; expected a path."),
    (["train", "iris", "--out="], "--out is given nothing"),
    (["train", "iris", "--config", ""], "--config is given nothing"),
    (["train", "iris", "--config", "."], "--config . cannot be read: Is a directory."),
    (["train", ""], "expected a file, a folder or a named set; got nothing."),
    (["train", "/proc"], "/proc belongs to the system and holds no data."),
    (["train", "/proc/self/maps"], "belongs to the system"),
    (["train", "/dev/zero"], "/dev/zero is a pipe or a device; expected a file or a folder."),
    (["train", "~nobody-of-this-name/x.csv"], "begins with the home of an account that is not known here"),
    (["test", ""], "There is no run in ."),
])
def test_paths_that_are_none(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(Path().iterdir())


def test_pipes_in_the_place_of_files_are_not_waited_for(run, tmp_path):
    """In processes of their own, which end them where they wait."""
    import shutil

    os.mkfifo(tmp_path / "data.csv")
    os.mkfifo(tmp_path / "c.toml")
    commands = ["chainrule train data.csv", "chainrule train iris --config c.toml"]
    for name in ("run.json", "log.jsonl", "best.safetensors", "valid.json", "lock.guard"):
        folder = tmp_path / f"r-{name}"
        shutil.copytree(run / "r", folder)
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        verb = "resume" if name.startswith("lock") else "report"
        commands.append(f"chainrule {verb} {folder.name} {'--overwrite' * (verb == 'report')}")
    ended = shell("; ".join(f"{command}; echo $? >> codes" for command in commands), tmp_path, seconds=300)
    assert ended.returncode != -9, "it waited for a pipe"
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "codes").read_text().split() == ["2"] * len(commands), ended.stderr
