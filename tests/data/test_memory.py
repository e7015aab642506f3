"""Free memory: no more than the machine has, nor than the limits of the process and of the groups around it leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.data import memory

MACHINE = "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"


def test_it_is_what_the_kernel_says():
    psutil = pytest.importorskip("psutil")
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total
    assert memory.free_memory() <= psutil.virtual_memory().available * 1.1 + 2**28


@pytest.mark.parametrize(("lines", "files", "expected"), [
    ("0::/a/b", {}, 4_096_000_000),
    ("0::/a/b", {"a/b/memory.max": "3000000000", "a/b/memory.stat": "file 7\nanon 1000000000"}, 2_000_000_000),
    ("0::/a/b", {"a/b/memory.max": "max", "a/b/memory.stat": "anon 5", "a/memory.max": "1000", "a/memory.stat": "anon 400"}, 600),
    ("0::/", {"memory.max": "1000", "memory.stat": "anon 1400"}, 0),
    ("9:cpu:/x\n4:memory:/a", {"memory/a/memory.limit_in_bytes": "5000", "memory/a/memory.stat": "rss 1\ntotal_rss 2000"}, 3000),
    ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712", "memory/a/memory.stat": "total_rss 2000"}, 4_096_000_000),
    ("4:memory:/not/shown", {"memory/memory.limit_in_bytes": "5000", "memory/memory.stat": "total_rss 1000"}, 4000),
])
def test_the_narrowest_limit_counts(lines, files, expected, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text(MACHINE)
    (tmp_path / "own").write_text(lines + "\n")
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    assert memory.free_memory() == expected


LIMITED = """
import json, resource, sys
from pathlib import Path
from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.data.memory import free_memory, left_to_processes

MB, taken = 2**20, {}
small, large = sys.argv[1:]
load(small)                                                      # whatever is loaded with the first


def status(name):
    return 1024 * int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)).split()[1])


for name, against in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
    which, others = getattr(resource, name), left_to_processes()
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (status(against) + 100 * MB, hard))
    free, held = free_memory(), []
    for more in (-8 * MB, 8 * MB):
        try:
            held.append(len(bytearray(free + more)))
        except MemoryError:
            pass
    try:
        load(large)
        refused = ""
    except InputError as error:
        refused = str(error)
    taken[name] = {"free": free, "taken": held, "refused": refused, "left": left_to_processes() > 200 * MB or others < 300 * MB}
    resource.setrlimit(which, (resource.RLIM_INFINITY if hard == resource.RLIM_INFINITY else hard, hard))
print(json.dumps(taken))
"""


@pytest.mark.skipif(not memory.OWN_STATUS.exists(), reason="no /proc here")
def test_limits_of_the_process_count_as_the_kernel_counts_them(tmp_path):
    """What is called free can be taken, and hardly more; what takes more is refused with a sum before it is read."""
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text("to be or not " * 100)
    large.write_text("to be or not " * 400_000)
    done = subprocess.run([sys.executable, "-c", LIMITED, small, large], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    for name, one in json.loads(done.stdout).items():
        assert 90e6 < one["free"] < 110e6, name
        assert one["taken"] == [one["free"] - 8 * 2**20], name
        assert "of memory, and" in one["refused"], name
        assert one["left"], name
