"""A full disk, at whichever write: the checkpoint before survives, one warning is given, and training goes on to the same weights."""

import errno
import os

import pytest
from worker import differences, outcome, training

from chainrule.core import files
from chainrule.core.events import Finished, Saved, Warned
from chainrule.core.files import STRAY
from chainrule.engine import checkpoint
from chainrule.engine.store import BEST, LAST, PREVIOUS

EPOCHS = 2


class Full:
    """Stands in for the module `os` where files are written: calls of `which` number `first` to `last` find the disk full."""

    def __init__(self, which, first, last):
        self.which, self.first, self.last, self.calls = which, first, last, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name == "fsync" and self.which != "fsync":
            return lambda descriptor: None
        if name != self.which:
            return real

        def call(*given):
            if name == "open" and not given[1] & (os.O_WRONLY | os.O_RDWR) and not os.path.isdir(given[0]):
                return real(*given)             # a full disk can be read
            self.calls += 1
            if self.first <= self.calls <= self.last:
                if name == "write":
                    real(given[0], given[1][:100])  # some of it still fitted
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*given)

        return call


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    list(training(folder, epochs=EPOCHS).run())
    return outcome(folder)


def run(folder, monkeypatch, which, first, last):
    """Train on a disk that is full for a while; after every event, what was saved last can be read."""
    folder.mkdir()
    full = Full(which, first, last)
    monkeypatch.setattr(files, "os", full)
    events, newest = [], 0
    for event in training(folder, epochs=EPOCHS).run():
        events.append(event)
        for name in (PREVIOUS, BEST):
            if (folder / name).exists():
                checkpoint.read(folder / name)
        if isinstance(event, Saved):
            newest = event.step
            assert checkpoint.read(folder / LAST)[1]["position"]["step"] == newest
        elif newest:
            assert checkpoint.read(folder / LAST)[1]["position"]["step"] >= newest
        assert list(folder.glob(f".*{STRAY}")) == []
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "budget"
    assert full.calls >= last
    monkeypatch.undo()
    list(training(folder, epochs=EPOCHS).run())  # room was made; where it was the final save that failed, this goes on to it
    return [e for e in events if isinstance(e, Warned)]


@pytest.mark.parametrize("which", ["write", "open", "replace", "link", "fsync"])
def test_one_save_fails(tmp_path, monkeypatch, undisturbed, which):
    for number in (1, 2, 3, 4, 7, 11):
        warnings = run(tmp_path / f"{number}", monkeypatch, which, number, number)
        assert len(warnings) == 1
        assert str(tmp_path / f"{number}") in warnings[0].message
        assert "No space left on device" in warnings[0].message
        assert differences(outcome(tmp_path / f"{number}"), undisturbed) == []


def test_a_disk_that_stays_full_for_long_is_warned_of_once(tmp_path, monkeypatch, undisturbed):
    assert len(run(tmp_path / "long", monkeypatch, "write", 4, 10)) == 1
    assert differences(outcome(tmp_path / "long"), undisturbed) == []


def test_two_checkpoints_survive_a_full_disk(tmp_path, monkeypatch):
    """The one before the last is not given up for a file that then does not fit."""
    running = training(tmp_path, epochs=EPOCHS).run()
    next(event for event in running if isinstance(event, Saved) and event.step == 4)
    monkeypatch.setattr(files, "os", Full("write", 1, 10**9))
    assert any(isinstance(event, Warned) for event in running)
    assert [checkpoint.read(tmp_path / name)[1]["position"]["step"] for name in (PREVIOUS, LAST)] == [3, 4]


def test_where_the_kernel_itself_refuses(workers, tmp_path, undisturbed):
    """A limit on the size of files stands in for the full disk; `limited` returns the number of warnings."""
    assert workers.wait(workers.start("limited", tmp_path, bytes_=3000, epochs=EPOCHS)) == 1, (tmp_path / "worker.txt").read_text()
    assert not (tmp_path / LAST).exists()
    assert list(tmp_path.glob(f".*{STRAY}")) == []
    assert workers.wait(workers.start("train", tmp_path, epochs=EPOCHS)) == 0
    assert differences(outcome(tmp_path), undisturbed) == []
