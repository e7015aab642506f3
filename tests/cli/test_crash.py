"""What nothing else catches: one sentence, exit code 1, the traceback in a new file."""

import errno
import signal
import subprocess
import sys

import pytest

from chainrule.cli import main
from chainrule.cli.crash import crashed


class Panic(BaseException):
    """As compiled parsers raise."""


@pytest.mark.parametrize(("error", "sentence"), [
    (ZeroDivisionError("division\x1b[31m by zero"), r"chainrule failed where it should not: ZeroDivisionError: division\x1b[31m by zero."),
    (Panic("index out of bounds"), "chainrule failed where it should not: Panic: index out of bounds. Please report it"),
    (MemoryError(), "There is not enough memory for this."),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "There is not enough memory for this."),
    (RuntimeError("std::bad_alloc"), "There is not enough memory for this."),
    (OSError(errno.ENOSPC, "No space left on device", "runs/r/log.jsonl"), "runs/r/log.jsonl cannot be read or written: No space left on"),
])
def test_whatever_escapes_is_one_sentence_and_a_file(error, sentence, tmp_path, monkeypatch, capsys):
    def fail(arguments, standalone_mode):
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "app", fail)
    assert main.run_command(["train", "x"]) == 1
    streams = capsys.readouterr()
    assert streams.err.startswith(sentence)
    assert streams.err.count("\n") == 1
    assert not streams.out
    assert f"the traceback is in {tmp_path / 'crash.txt'}." in streams.err
    written = (tmp_path / "crash.txt").read_text()
    assert "chainrule train x" in written
    assert type(error).__name__ in written


def test_an_earlier_file_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crash.txt").write_text("mine")
    assert "crash-2.txt" in crashed(ValueError("no"), [])
    assert (tmp_path / "crash.txt").read_text() == "mine"
    assert "ValueError: no" in (tmp_path / "crash-2.txt").read_text()


def test_where_nothing_can_be_written_the_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "gone"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    assert crashed(ValueError("no"), []).endswith("the traceback could not be written.")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_that_meets_an_import_is_an_interruption_and_no_crash(tmp_path, number, code):
    """What a handler raises in a compiled library that is being imported comes out as `ImportError: initialization failed`."""
    script = f"""
import os, sys, time
from chainrule.cli import main, signals

def importing(*_, **__):
    try:
        os.kill(os.getpid(), {int(number)})
        time.sleep(10)
    except BaseException:
        raise ImportError("initialization failed") from None

signals.end_by_signal()
main.app = importing
sys.exit(main.run_command(["compare", "run", "knn"]))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (code, "Interrupted. Run it again with: chainrule compare run knn\n")
    assert not (tmp_path / "crash.txt").exists()
