"""R15 with the page open: the server of a run that a reader follows takes no more memory and no more open files at the end than when it
had settled, and neither does the training beside it.
"""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import ENVIRONMENT, Page, Served
from synthetic_run import write_run
from worker import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
PAGE = os.sysconf("SC_PAGE_SIZE")
BURST, CHARACTERS = 500, 1000       # records written at once, and how long each is


class Taken:
    """Megabytes and open files of a process, whenever they were looked at."""

    def __init__(self, process):
        self.process, self.memory, self.files = process, [], []

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process}/fd"))

    def look(self):
        self.memory.append(int(Path(f"/proc/{self.process}/statm").read_text().split()[1]) * PAGE / 2**20)
        self.files.append(self.open_files())

    def growth(self):
        """Of memory and files, from when a quarter was over to the end."""
        settled = len(self.memory) // 4
        return max(self.memory[-3:]) - max(self.memory[settled:settled + 3]), max(self.files[-3:]) - max(self.files[settled:settled + 3])


def follow(server, log, records, bursts):
    """Write so many bursts of records, each read by the follower before the next; beside it readers come and go, and ask for the runs."""
    taken = Taken(server.child.pid)
    alone = taken.open_files()
    for burst in range(bursts):
        with log.open("ab") as file:
            for i in range(BURST):
                record = {"event": "warned", "at": 10_000 + burst * BURST + i, "seconds": 0, "message": "x" * CHARACTERS}
                file.write(json.dumps(record).encode() + b"\n")
        came = [record["at"] for record in itertools.islice(records, BURST)]
        assert came == list(range(10_000 + burst * BURST, 10_000 + (burst + 1) * BURST)), "a record was missed or came twice"
        leaving = server.records("one")
        next(leaving)
        leaving.close()
        server.json("/api/runs")
        server.json("/api/record?run=one")
        until(lambda: taken.open_files() <= alone)      # whoever has left, and whoever had an answer, holds none any more
        taken.look()
    return taken.growth()


def soaked(folder, bursts):
    run = write_run(folder / "one", vanishing=False)
    log = run / "log.jsonl"
    before = len(log.read_bytes().splitlines())
    server = Served(folder, "--port", "0")
    records = server.records("one")
    try:
        assert len(list(itertools.islice(records, before))) == before
        return follow(server, log, records, bursts)
    finally:
        records.close()
        server.end()


def test_fifteen_thousand_events(tmp_path):
    memory, files = soaked(tmp_path, 30)
    assert memory < 6           # MB, where the events that came in between are 11
    assert files <= 0


@pytest.mark.slow
def test_two_hundred_thousand_events(tmp_path):
    memory, files = soaked(tmp_path, 400)
    assert memory < 10          # of 150
    assert files <= 0


@pytest.mark.slow
def test_twenty_thousand_steps_that_are_watched_live(tmp_path):
    words = ["iris", "--net", "mlp:hidden=8", "--batch", "4", "--steps", "20000", "--plan", "eager", "--threads", "1", "--save-every",
             "0.5", "--live", "--out", str(tmp_path / "r")]
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    printed = tmp_path / "said"
    with printed.open("w") as stderr:
        training = subprocess.Popen([sys.executable, "-m", "chainrule", "train", *words], env=environment, stdout=stderr, stderr=stderr)
    until(lambda: "Page: " in printed.read_text())
    page = Page(next(line for line in printed.read_text().splitlines() if "Page: " in line).partition("Page: ")[2].strip())
    (server,) = [int(child) for task in Path(f"/proc/{training.pid}/task").iterdir() for child in (task / "children").read_text().split()
                 if b"chainrule.serve.live" in Path(f"/proc/{child}/cmdline").read_bytes()]
    both, steps = (Taken(training.pid), Taken(server)), []
    records = page.records(page.json("/api/runs")["first"])
    for record in records:
        if record["event"] == "finished":
            break
        if record["event"] == "evaluated":
            steps.append(record["step"])
            for one in both:
                one.look()
    records.close()
    assert training.wait() == 0
    os.kill(server, 15)
    thousands = (steps[-1] - steps[len(steps) // 4]) / 1000
    assert thousands > 10
    for one in both:
        memory, files = one.growth()
        assert memory / thousands < 1
        assert files <= 0
