"""Free memory: no more than the machine has, nor than the limits of the control groups around the process leave."""

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
