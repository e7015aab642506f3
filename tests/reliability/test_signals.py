"""R11: a signal at any moment ends the run, saved, with the exit code of that signal; a second one ends it in mid-step."""

import os
import random
import signal
import time

import pytest
from worker import fresh_net, until

from chainrule.core.events import Finished
from chainrule.engine import checkpoint
from chainrule.engine.lock import RunLock
from chainrule.engine.store import LAST, PREVIOUS
from chainrule.sinks import runlog

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def ended(workers, pid, code, folder):
    got = workers.wait(pid)
    if got is None:
        os.kill(pid, signal.SIGKILL)
        workers.wait(pid)
    assert got == code, (folder / "worker.txt").read_text()


def at_random_moments(workers, tmp_path, times):
    chance = random.Random(11)
    for i in range(times):
        folder = tmp_path / f"run{i}"
        folder.mkdir()
        number = list(CODES)[i % 3]
        pid = workers.start("signals", folder)
        until((folder / "begun").exists)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(pid, number)
        ended(workers, pid, CODES[number], folder)
        tensors, payload = checkpoint.read(folder / LAST)
        assert payload["position"]["step"] >= 3
        assert payload["position"]["finished"] == "", "an interrupted run must not count as finished"
        assert {k.removeprefix("run/net/") for k in tensors if k.startswith("run/net/")} == set(fresh_net().tensors)
        with RunLock(folder):  # nobody holds it any more
            pass


def test_nine_signals_at_random_moments(workers, tmp_path):
    at_random_moments(workers, tmp_path, 9)


@pytest.mark.slow
def test_sixty_signals_at_random_moments(workers, tmp_path):
    at_random_moments(workers, tmp_path, 60)


@pytest.mark.parametrize("number", CODES)
def test_a_second_signal_ends_at_once_and_leaves_whole_checkpoints(workers, tmp_path, number):
    """The third step sleeps for minutes after the first signal, so only the second can be what ended it; two steps have been saved."""
    pid = workers.start("signals", tmp_path, sleep_at=3)
    until((tmp_path / "asleep").exists)
    os.kill(pid, number)
    until((tmp_path / "asked").exists)
    os.kill(pid, number)
    ended(workers, pid, CODES[number], tmp_path)
    assert [checkpoint.read(tmp_path / name)[1]["position"]["step"] for name in (PREVIOUS, LAST)] == [1, 2]


def test_the_real_command_line_can_be_interrupted_and_resumed(workers, tmp_path):
    """`chainrule train` on the embedded digits, SIGTERM in mid-run, `chainrule resume` to the end."""
    folder = tmp_path / "run"
    options = ["--net", "mlp:hidden=4", "--plan", "eager", "--threads", "1", "--batch", "8", "--save-every", "0.1"]
    pid = workers.start("command", tmp_path, arguments=["train", "digits", *options, "--steps", "100000", "--out", str(folder)])
    until((folder / LAST).exists)
    os.kill(pid, signal.SIGTERM)
    ended(workers, pid, 143, tmp_path)
    assert "chainrule resume" in (tmp_path / "worker.txt").read_text()
    step = checkpoint.read(folder / LAST)[1]["position"]["step"]
    assert 0 < step < 100_000
    pid = workers.start("command", tmp_path, arguments=["resume", str(folder)])
    until(lambda: checkpoint.read(folder / LAST)[1]["position"]["step"] > step)
    os.kill(pid, signal.SIGINT)
    ended(workers, pid, 130, tmp_path)
    events = runlog.read(folder / "log.jsonl")
    assert [e.at for e in events] == sorted({e.at for e in events}), "numbers of events repeat or go back"
    assert isinstance(events[-1], Finished)


def test_a_signal_while_the_plan_is_measured_ends_before_the_first_step(workers, tmp_path):
    """Compiling takes longer than anybody waits: here nothing has been trained yet, and nothing is saved."""
    pid = workers.start("planning", tmp_path)
    until((tmp_path / "asleep").exists)
    os.kill(pid, signal.SIGINT)
    ended(workers, pid, 130, tmp_path)
    assert "Stopped by SIGINT" in (tmp_path / "worker.txt").read_text()
    assert not (tmp_path / LAST).exists()
