"""The lock of a run folder, within one process; between processes see tests/reliability/test_two_processes.py."""

import os

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
