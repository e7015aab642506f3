"""R01: kill -9 at any moment, and before every call of a save, loses nothing: the run that goes on ends bit-equal to one never stopped."""

import os
import random
import signal
import time

import pytest
from worker import Killed, Workers, differences, outcome, training, until

from chainrule.core import files
from chainrule.core.events import Saved
from chainrule.core.files import STRAY
from chainrule.engine import checkpoint
from chainrule.engine.store import BEST, LAST, PREVIOUS

EPOCHS = 4


@pytest.fixture(scope="module")
def uninterrupted(workers, tmp_path_factory):
    """The outcome of a run nobody disturbed, twice the same, and about how long one takes."""
    outcomes = []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        pid = workers.start("train", folder, epochs=EPOCHS)
        until((folder / "begun").exists)
        began = time.monotonic()
        assert workers.wait(pid) == 0, (folder / "worker.txt").read_text()
        outcomes.append(outcome(folder))
    assert differences(*outcomes) == []
    return outcomes[0], time.monotonic() - began


def readable(folder):
    """Every checkpoint there is can be read; none may be torn, whatever was being written."""
    for name in (LAST, PREVIOUS, BEST):
        if (folder / name).exists():
            checkpoint.read(folder / name)


def kill_again_and_again(workers: Workers, tmp_path, uninterrupted, kills: int) -> None:
    """At moments of chance; how many of them fall into a save is the machine's affair."""
    expected, seconds = uninterrupted
    chance = random.Random(0)
    killed = runs = 0
    while killed < kills:
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        runs += 1
        while True:
            (folder / "begun").unlink(missing_ok=True)
            pid = workers.start("train", folder, epochs=EPOCHS)
            until((folder / "begun").exists)
            code = workers.wait(pid, chance.uniform(0, seconds / 3)) if killed < kills else workers.wait(pid)
            if code is not None:
                assert code == 0, (folder / "worker.txt").read_text()
                break
            os.kill(pid, signal.SIGKILL)
            code = workers.wait(pid)
            assert code in (0, -signal.SIGKILL)
            if code == 0:
                break
            killed += 1
            readable(folder)
        assert differences(outcome(folder), expected) == []
        assert list(folder.glob(f".*{STRAY}")) == [], "a stray temporary file outlived the next start"


def test_twenty_kills(workers, tmp_path, uninterrupted):
    kill_again_and_again(workers, tmp_path, uninterrupted, 20)


@pytest.mark.slow
def test_two_hundred_kills(workers, tmp_path, uninterrupted):
    kill_again_and_again(workers, tmp_path, uninterrupted, 200)


def test_a_kill_before_every_call_of_two_saves(workers, tmp_path, monkeypatch):
    """The first save, which has no checkpoint to keep, and the second, which has: every place between two calls is died at once."""
    calls = Killed(0)
    monkeypatch.setattr(files, "os", calls)
    (tmp_path / "whole").mkdir()
    saves = [calls.calls for event in training(tmp_path / "whole", epochs=1).run() if isinstance(event, Saved)]
    expected, strays = outcome(tmp_path / "whole"), 0
    assert saves[1] >= 16  # of a save and of one that keeps the checkpoint before: open, write, fsync, rename, and the folder's two
    for at in range(1, saves[1] + 1):
        folder = tmp_path / f"killed{at}"
        folder.mkdir()
        assert workers.wait(workers.start("train", folder, epochs=1, killed_at=at)) == -signal.SIGKILL
        strays += bool(list(folder.glob(f".*{STRAY}")))
        readable(folder)
        assert workers.wait(workers.start("train", folder, epochs=1)) == 0, (folder / "worker.txt").read_text()
        assert differences(outcome(folder), expected) == []
        assert list(folder.glob(f".*{STRAY}")) == [], "a stray temporary file outlived the next start"
    assert strays >= 8, "hardly a kill left a temporary file, so their removal was not tried"
