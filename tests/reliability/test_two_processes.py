"""R12: of two processes on one run folder the second is refused with the first's number, and a dead one's lock is taken over."""

import os
import signal

import pytest
from worker import until

from chainrule.core.errors import InputError
from chainrule.engine import checkpoint
from chainrule.engine.lock import RunLock
from chainrule.engine.store import LAST, Store


def test_the_second_is_refused_with_the_number_of_the_first(workers, tmp_path):
    pid = workers.start("hold", tmp_path)
    until((tmp_path / "held").exists)
    with pytest.raises(InputError, match=rf"trained by process {pid}\b") as refused, RunLock(tmp_path):
        pass
    assert refused.value.exit_code == 2
    assert workers.wait(workers.start("train", tmp_path)) == 2
    assert str(pid) in (tmp_path / "worker.txt").read_text()
    assert not (tmp_path / LAST).exists(), "the second wrote something"
    os.kill(pid, signal.SIGKILL)
    workers.wait(pid)


def test_the_lock_of_a_dead_process_is_taken_over(workers, tmp_path):
    pid = workers.start("hold", tmp_path)
    until((tmp_path / "held").exists)
    os.kill(pid, signal.SIGKILL)
    workers.wait(pid)
    assert (tmp_path / "lock").read_text().strip() == str(pid), "nothing stale was left, so this tried nothing"
    with RunLock(tmp_path):
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())


def test_the_command_line_refuses_and_says_who(workers, tmp_path):
    folder = tmp_path / "run"
    options = ["--net", "mlp:hidden=4", "--plan", "eager", "--threads", "1", "--epochs", "1", "--out", str(folder)]
    pid = workers.start("command", tmp_path, arguments=["train", "digits", *options])
    assert workers.wait(pid) == 0, (tmp_path / "worker.txt").read_text()
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "lock"}
    pid = workers.start("hold", folder)
    until((folder / "held").exists)
    assert workers.wait(workers.start("command", tmp_path, arguments=["resume", str(folder)])) == 2
    assert f"trained by process {pid}" in (tmp_path / "worker.txt").read_text()
    assert {name: (folder / name).read_bytes() for name in before} == before
    os.kill(pid, signal.SIGKILL)
    workers.wait(pid)


def races(workers, folder, processes, attempts):
    started = [workers.start("race", folder, attempts=attempts) for _ in range(processes)]
    codes = [workers.wait(pid) for pid in started]
    assert 99 not in codes, (folder / "worker.txt").read_text()
    return codes


def test_races_for_the_lock(workers, tmp_path):
    """Each goes in and out a hundred times; code 3 says that somebody else was inside, too."""
    assert races(workers, tmp_path, 3, 100) == [0, 0, 0]


def test_the_race_is_lost_without_the_lock(workers, tmp_path):
    """That the test above can fail: the same race with a lock that locks nothing, until somebody else is met inside."""
    (tmp_path / "unlocked").touch()
    assert 3 in races(workers, tmp_path, 3, 0)


@pytest.mark.slow
def test_many_races_for_the_lock(workers, tmp_path):
    assert races(workers, tmp_path, 8, 1000) == [0] * 8


def test_whoever_only_reads_does_not_disturb_whoever_writes(tmp_path, workers):
    """A temporary file belongs to the process that trains; opening the folder to look at it must not take it away."""
    assert workers.wait(workers.start("train", tmp_path, epochs=1)) == 0
    temporary = tmp_path / ".last.safetensors.123.tmp"
    temporary.touch()
    Store(tmp_path, "a-run").events_before()
    checkpoint.read(tmp_path / LAST)
    assert temporary.exists()
