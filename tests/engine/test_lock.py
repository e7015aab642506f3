"""The lock of a run folder, within one process; between processes see tests/reliability/test_two_processes.py."""

import os
import subprocess
import sys

import pytest

from chainrule.core.errors import InputError
from chainrule.engine.lock import RunLock


def test_it_excludes_and_names_its_holder(tmp_path):
    with RunLock(tmp_path):
        with pytest.raises(InputError, match=rf"{tmp_path}.* process {os.getpid()}\b.*another --out"), RunLock(tmp_path):
            pass
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_it_is_free_again_afterwards_also_after_an_error(tmp_path):
    with RunLock(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    with RunLock(tmp_path):
        pass


def test_a_longer_number_of_a_dead_holder_leaves_no_digits_behind(tmp_path):
    (tmp_path / "lock").write_text("12345678901234567890\n")
    with RunLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path):
    with RunLock(tmp_path):
        before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
        for _ in range(5):
            with pytest.raises(InputError), RunLock(tmp_path):
                pass
        assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


def test_two_folders_do_not_exclude_each_other(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with RunLock(tmp_path / "a"), RunLock(tmp_path / "b"):
        pass


def test_a_holder_that_has_not_said_its_number_yet_still_excludes(tmp_path):
    with RunLock(tmp_path):
        (tmp_path / "lock").unlink()
        with pytest.raises(InputError, match="trained by process another process"), RunLock(tmp_path):
            pass


def test_nothing_of_posix_alone_is_needed_to_import_the_engine():
    """The modules that Windows lacks are hidden; what is imported for every command must do without them."""
    code = ("import sys\n"
            "for name in ('fcntl', 'pwd', 'grp', 'resource', 'termios'): sys.modules[name] = None\n"
            "import chainrule.cli.main, chainrule.workflows.train, chainrule.estimators")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
