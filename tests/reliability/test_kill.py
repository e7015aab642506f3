"""R01: kill -9 at any moment, most often inside a save, loses nothing: the run that goes on ends bit-equal to one never stopped."""

import os
import random
import signal
import time

import pytest
from worker import Workers, differences, outcome, until

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
    expected, seconds = uninterrupted
    chance = random.Random(0)
    killed = inside = stray = runs = 0
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
            inside += (folder / "saving").exists() and (folder / "saving").read_bytes() == b"\1"
            left = list(folder.glob(f".*{STRAY}"))
            stray += bool(left)
            readable(folder)
        assert differences(outcome(folder), expected) == []
        assert list(folder.glob(f".*{STRAY}")) == [], "a stray temporary file outlived the next start"
    print(f"{killed} kills, {inside} inside a save, {stray} left a temporary file, {runs} runs, all bit-equal")
    assert inside >= 0.4 * killed
    assert stray > 0, "no kill left a temporary file, so their removal was not tried"


def test_twenty_kills(workers, tmp_path, uninterrupted):
    kill_again_and_again(workers, tmp_path, uninterrupted, 20)


@pytest.mark.slow
def test_two_hundred_kills(workers, tmp_path, uninterrupted):
    kill_again_and_again(workers, tmp_path, uninterrupted, 200)
