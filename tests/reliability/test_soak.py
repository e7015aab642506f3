"""R15: a long run takes no more memory, no more open files and no more log at its end than it took when it had settled."""

import os
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.core.events import Evaluated

PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Megabytes, open files and the length of the log at every evaluation."""

    def __init__(self, log):
        self.log, self.seen = log, []

    def __call__(self, event):
        if isinstance(event, Evaluated):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20
            self.seen.append((event.step, resident, len(os.listdir("/proc/self/fd")), self.log.stat().st_size))


def soak(folder, steps):
    watch = Watch(folder / "log.jsonl")
    cr.train("iris", net="mlp:hidden=8", batch=4, steps=steps, plan="eager", threads=1, save_every=0.5, out=folder, sinks=[watch],
             progress=False)
    settled, end = watch.seen[len(watch.seen) // 4], watch.seen[-1]
    thousands = (end[0] - settled[0]) / 1000
    assert thousands > 0.5
    return (end[1] - settled[1]) / thousands, end[2] - settled[2], (end[3] - settled[3]) / (end[0] - settled[0])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_some_thousand_steps(tmp_path):
    growth, files, log = soak(tmp_path / "r", 3000)
    assert growth < 10          # MB in a thousand steps; the long form has room for noise to even out
    assert files <= 0
    assert log < 100            # bytes a step: an evaluation each 26 of them


@pytest.mark.slow
def test_twenty_thousand_steps(tmp_path):
    growth, files, log = soak(tmp_path / "r", 20_000)
    assert growth < 1
    assert files <= 0
    assert log < 100
