"""R04: every save writes a temporary file, syncs it, renames it, syncs the folder; no checkpoint is ever opened for writing."""

import os
import re
import shutil
import subprocess

import pytest
from worker import training, until

from chainrule.core import files
from chainrule.core.files import STRAY
from chainrule.engine.store import BEST, LAST, PREVIOUS

WRITING = os.O_WRONLY | os.O_RDWR
NAMES = (LAST, PREVIOUS, BEST)


def faults(calls):
    """What is wrong with a list of (call, path, second path or flags), in the order they were made; and how many saves it holds."""
    wrong, written, synced, unsynced_folder, saves = [], set(), set(), None, 0
    for call, path, more in calls:
        name = os.path.basename(path)
        if call == "open" and more & WRITING and name in NAMES:
            wrong.append(f"{name} was opened for writing")
        elif call == "write":
            written.add(path)
            synced.discard(path)
            if not name.endswith(STRAY):
                wrong.append(f"{name} was written in place")
        elif call == "fsync":
            synced.add(path)
            if path == unsynced_folder:
                unsynced_folder = None
        elif call == "rename" and os.path.basename(more) in (LAST, BEST):
            saves += 1
            if path not in written:
                wrong.append(f"{os.path.basename(more)} came from {name}, which nobody wrote")
            if path not in synced:
                wrong.append(f"{name} was renamed before it was synced")
            if unsynced_folder:
                wrong.append(f"the folder was not synced before the next save of {os.path.basename(more)}")
            unsynced_folder = os.path.dirname(path)
        elif call == "unlink" and name in NAMES:
            wrong.append(f"{name} was removed")
    if unsynced_folder:
        wrong.append("the folder was not synced after the last save")
    return wrong, saves


class Recorder:
    """Stands in for the module `os` where files are written, and notes what is called on which path."""

    def __init__(self):
        self.calls, self.paths = [], {}

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, mode=0o777):
        descriptor = os.open(path, flags, mode)
        self.paths[descriptor] = str(path)
        self.calls.append(("open", str(path), flags))
        return descriptor

    def write(self, descriptor, content):
        self.calls.append(("write", self.paths[descriptor], None))
        return os.write(descriptor, content)

    def fsync(self, descriptor):
        self.calls.append(("fsync", self.paths[descriptor], None))
        os.fsync(descriptor)

    def replace(self, path, to):
        self.calls.append(("rename", str(path), str(to)))
        os.replace(path, to)

    def link(self, path, to):
        self.calls.append(("link", str(path), str(to)))
        os.link(path, to)


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    recorder = Recorder()
    monkeypatch.setattr(files, "os", recorder)
    list(training(tmp_path, epochs=2).run())
    return recorder.calls


def test_every_save_keeps_the_order(recorded):
    wrong, saves = faults(recorded)
    assert wrong == []
    assert saves >= 12 + 1


def test_the_check_notices_each_way_to_get_it_wrong(recorded):
    last = max(i for i, (call, _, more) in enumerate(recorded) if call == "rename" and more.endswith(LAST))
    temporary = recorded[last][1]
    folder = os.path.dirname(temporary)
    without = {
        "renamed before": [c for c in recorded if c[:2] != ("fsync", temporary)],
        "the folder was not synced before": [c for i, c in enumerate(recorded) if c[:2] != ("fsync", folder) or i > last],
        "the folder was not synced after": recorded[: last + 1],
        "nobody wrote": [c for c in recorded if c[0] != "write"],
        "written in place": [("write", c[2], None) if c[0] == "rename" else c for c in recorded],
        "opened for writing": [*recorded, ("open", os.path.join(folder, LAST), os.O_WRONLY)],
        "was removed": [*recorded, ("unlink", os.path.join(folder, PREVIOUS), None)],
    }
    for sentence, calls in without.items():
        assert any(sentence in w for w in faults(calls)[0]), sentence


def test_a_write_in_two_parts_is_finished_before_the_rename(monkeypatch, tmp_path):
    """The kernel may take less than it was given; what is left must follow."""
    recorder = Recorder()
    monkeypatch.setattr(recorder, "write", lambda descriptor, content: os.write(descriptor, content[:1000]), raising=False)
    monkeypatch.setattr(files, "os", recorder)
    content = os.urandom(12_345)
    files.write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content


def as_the_kernel_saw(text):
    """The calls in a log of `strace -f -y`, on whatever lies in a run folder."""
    calls = []
    for line in text.splitlines():
        line = re.sub(r"^\[pid +\d+\] |^\d+ +", "", line)
        if match := re.match(r'openat\(.*?, "([^"]+)", ([A-Z_|]+)', line):
            calls.append(("open", match[1], os.O_WRONLY if re.search("O_WRONLY|O_RDWR", match[2]) else 0))
        elif match := re.match(r"(write|pwrite64|fsync|fdatasync)\(\d+<([^>]+)>", line):
            calls.append(("fsync" if "sync" in match[1] else "write", match[2], None))
        elif match := re.match(r'rename(?:at2?)?\((?:[^,"]+, )?"([^"]+)", (?:[^,"]+, )?"([^"]+)"', line):
            calls.append(("rename", match[1], match[2]))
        elif match := re.match(r'unlink(?:at)?\((?:[^,"]+, )?"([^"]+)"', line):
            calls.append(("unlink", match[1], None))
    return calls


def test_the_kernel_sees_the_same_order(workers, tmp_path):
    """The second derivation: what strace reports of another process, whatever Python said it did."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; the order is checked inside the process by the tests above")
    pid, log = workers.start("traced", tmp_path), tmp_path / "strace.txt"
    until((tmp_path / "ready").exists)
    wanted = "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
    command = ["strace", "-f", "-y", "-s", "0", "-e", wanted, "-o", str(log), "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = tracer.stderr.readline()
    (tmp_path / "go").touch()
    code = workers.wait(pid)
    tracer.wait()
    if "attached" not in said:
        pytest.skip(f"strace may not look at another process here: {said.strip()}")
    assert code == 0, (tmp_path / "worker.txt").read_text()
    calls = [c for c in as_the_kernel_saw(log.read_text()) if str(tmp_path) in c[1] and not c[1].endswith(("worker.txt", "ready"))]
    wrong, saves = faults(calls)
    assert wrong == []
    assert saves >= 6 + 1
