"""R14: what reads data beside the training, killed or hanging: an error that says what to do, and nothing waits for ever.

Two things read data outside the thread that trains. A thread reads ahead (`data/feed/prefetch.py`): the windows of rows that stay on disk,
the pieces of a file that is read from end to end, and the chunks of rows in memory that are gathered while steps are taken. And a process
reads Parquet, Feather and Excel files once before they are read (`data/readers/subprocess_check.py`). There are no other workers: batches
are made by the process that trains.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from worker import until

import chainrule as cr
from chainrule.core.errors import ChainruleError, CorruptFile
from chainrule.data.feed import prefetch
from chainrule.data.feed.prefetch import ahead
from chainrule.data.load import load
from chainrule.data.readers import subprocess_check
from chainrule.data.storage import blocks
from chainrule.engine import checkpoint

KILLS, HANGS = 50, 10
STALLED = 2.0         # seconds; a machine that others use may let a thread wait for some tenths


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    """A cache of its own, small blocks, and hanging that is noticed soon."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 512)
    monkeypatch.setattr(prefetch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(prefetch, "STALLED_SECONDS", STALLED)
    monkeypatch.setattr(prefetch, "CLOSING_SECONDS", 0.1)


@pytest.fixture
def never():
    """An event that comes at the end of the test, so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("chainrule reads"):
            thread.join()


def ends_without_a_word(after):
    """Items after which the thread is gone, as where the system takes it away: neither an item, nor an end, nor an error."""
    def items():
        yield from range(after)
        raise SystemExit

    return items()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("after", range(KILLS))
def test_a_thread_that_is_gone_is_an_error(after, monkeypatch):
    put = prefetch.queue.Queue.put

    def silent(self, item, *given, **options):
        if item[0] == "error":
            raise SystemExit
        put(self, item, *given, **options)

    monkeypatch.setattr(prefetch.queue.Queue, "put", silent)
    with pytest.raises(ChainruleError, match=r"the thread that reads t\.rows ended without a message; resume the run from its last save"):
        list(ahead(ends_without_a_word(after), "t.rows"))


def test_threads_that_hang_are_errors_and_are_left_to_themselves(never):
    def hanging(after):
        def items():
            yield from range(after)
            never.wait()

        came = []
        try:
            came.extend(ahead(items(), "t.rows"))
        except ChainruleError as error:
            return came == list(range(after)), str(error)
        return False, "it ended"

    with ThreadPoolExecutor(HANGS) as pool:
        for whole, message in pool.map(hanging, range(HANGS)):
            assert whole
            assert message == ("t.rows: nothing came for 2 s. See to the disk, or the network, that it is on; then resume the run from its "
                               "last save.")


def test_closing_does_not_wait_for_a_thread_that_hangs(never):
    def items():
        yield 1
        never.wait()

    reading = ahead(items(), "t.rows")
    assert next(reading) == 1
    reading.close()
    assert [thread for thread in threading.enumerate() if thread.name == "chainrule reads t.rows"], "it did not hang, so this tried nothing"


def test_reading_that_is_only_slow_goes_on():
    """Each item takes less than what counts as hanging; all together take longer than that."""
    def items():
        for i in range(3):
            time.sleep(0.4 * STALLED)
            yield i

    assert list(ahead(items(), "t.rows")) == list(range(3))


def test_a_process_that_was_suspended_has_not_waited(monkeypatch):
    """While a process is stopped its clock goes on: the first look at the queue afterwards finds nothing, however long ago the last was."""
    get, clock, late = prefetch.queue.Queue.get, time.monotonic, []

    def stopped_meanwhile(self, *given, **options):
        if not late:
            late.append(1000.0)
            raise prefetch.queue.Empty
        return get(self, *given, **options)

    monkeypatch.setattr(prefetch.queue.Queue, "get", stopped_meanwhile)
    monkeypatch.setattr(prefetch.time, "monotonic", lambda: clock() + sum(late))
    assert list(ahead(iter(range(3)), "t.rows")) == [0, 1, 2]


def running(pid):
    """Whether a process runs, and is not only remembered until somebody asks for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def table(path):
    x = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    pl.DataFrame(x, schema=list("abcd")).with_columns(pl.Series("y", np.where(x[:, 0] > x[:, 1], "p", "q"))).write_parquet(path)
    return path


def test_a_training_whose_disk_hangs_ends_and_goes_on_to_the_same_bits(tmp_path, never, monkeypatch):
    path = table(tmp_path / "t.parquet")
    asked = {"net": "mlp:hidden=5", "epochs": 4, "batch": 20, "seed": 2, "plan": "eager", "threads": 1, "save_every": 0.0, "look": "off",
             "progress": False}
    whole = cr.train(load(path, target="y", stream=True, say=lambda _: None), **asked, out=tmp_path / "whole")
    read, steps = os.preadv, []

    def hangs(*given):
        if len(steps) >= 2 and threading.current_thread() is not threading.main_thread():
            never.wait()
        return read(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", hangs)
        with pytest.raises(ChainruleError, match=r"\.rows: nothing came for 2 s"):
            cr.train(load(path, target="y", stream=True, say=lambda _: None), **asked, out=tmp_path / "run",
                     sinks=[lambda event: steps.append(1) if type(event).__name__ == "Evaluated" else None])
    resumed = cr.resume(tmp_path / "run", progress=False)
    (ours, _), (theirs, _) = (checkpoint.read(run.path / "last.safetensors") for run in (resumed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(resumed.history) == 4


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_process_that_reads_and_is_killed_is_an_error_and_the_next_reading_begins_anew(how, tmp_path, monkeypatch):
    path = table(tmp_path / "t.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(subprocess_check, "PROGRAM", f"import os, signal; os.kill(os.getpid(), signal.{how})")
        with pytest.raises(CorruptFile, match=rf"t\.parquet is damaged.*its parser ended with {how}"):
            load(path, target="y")
    assert len(load(path, target="y")) == 400


def test_a_process_that_reads_and_hangs_is_ended(tmp_path, monkeypatch):
    path = table(tmp_path / "t.parquet")
    monkeypatch.setattr(subprocess_check, "SECONDS", 0.5)
    monkeypatch.setattr(subprocess_check, "PROGRAM", f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\n"
                                                     "import time\ntime.sleep(600)")
    with pytest.raises(CorruptFile, match=r"t\.parquet was not read in 0\.5 s"):
        load(path, target="y")
    if (tmp_path / "pid").exists():      # on a busy machine it was ended before it had begun
        assert not running(int((tmp_path / "pid").read_text()))


def test_a_reading_process_does_not_outlive_a_command_that_is_interrupted(tmp_path):
    """SIGINT reaches the whole group of a terminal; here the command alone, which ends its child."""
    path = table(tmp_path / "t.parquet")
    program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)    # which a process that was started in the background ignores
from chainrule.data.readers import subprocess_check
subprocess_check.PROGRAM = "open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid())); import time; time.sleep(600)"
from chainrule.data.load import load
try:
    load({str(path)!r}, target="y")
except KeyboardInterrupt:
    sys.exit(130)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while child.poll() is None and not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    assert child.wait(300) == 130
    until(lambda: not running(int((tmp_path / "pid").read_text())))
