"""Worker processes as the parent of a race sees them: started with caches of their own, asked in turns, and never waited for in vain."""

from __future__ import annotations

import json
import os
import select
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chainrule.bench.harness import reachable
from chainrule.bench.sides import OURS, SIDES
from chainrule.core.errors import ChainruleError

ANSWER_SECONDS = 900.0
START_SECONDS = 180.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
USUAL_SPINS = "300000"  # of GNU's OpenMP where nobody sets another: what peers have without chainrule, which does when it is imported


class Failed(ChainruleError):
    """A side ended, hung or raised; the message is what its row says."""


class Worker:
    """One side of one race in a process of its own. `home` is where it keeps what it caches between runs."""

    def __init__(self, name: str, work: str, variant: str, quick: bool, home: Path, cuda: bool, threads: int = 0):
        self.name = name
        self.received = b""
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process is; `close` closes both
        command = [sys.executable, "-m", "chainrule.bench.worker", name, work, variant, "quick" if quick else "full"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, cwd=home,
                                        env=environment(name, home, cuda, threads))

    def ready(self) -> None:
        """Wait until the data are read and the net is built."""
        self._answer(START_SECONDS)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to one command. Raises Failed where there is none."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        return self._answer(ANSWER_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what it was last told, it never read
                    continue

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        end = time.perf_counter() + seconds
        while b"\n" not in self.received:
            left = end - time.perf_counter()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.process.kill()
                raise Failed(f"gave no answer in {seconds:.0f} s and was ended")
            more = os.read(self.process.stdout.fileno(), 65_536)
            if not more:
                raise Failed(self._last_words())
            self.received += more
        line, _, self.received = self.received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _last_words(self) -> str:
        code = self.process.wait()
        self.stderr.seek(0)
        lines = self.stderr.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return f"its process ended with {code}: {lines[-1][:200]}"


def environment(name: str, home: Path, cuda: bool, threads: int = 0) -> dict[str, str]:
    """What a side's process sees: this checkout, its own settings, so many threads, no GPU unless the work is one for it.

    Ours gets an empty home, so that what an earlier run compiled or measured cannot help it; data sets are found all the same.
    """
    seen = {**reachable(), **SIDES[name].environment}
    if name != OURS and "OMP_WAIT_POLICY" not in seen:
        seen["GOMP_SPINCOUNT"] = USUAL_SPINS
    if threads:
        seen |= dict.fromkeys(THREADS, str(threads))
    if not cuda:
        seen["CUDA_VISIBLE_DEVICES"] = ""
    if name == OURS:
        folder = os.environ.get("CHAINRULE_DATA")
        seen |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
                 "TORCH_EXTENSIONS_DIR": str(home / "extensions"), "PYTHONUSERBASE": site.getuserbase(),
                 "CHAINRULE_DATA": str(Path(folder or Path.home() / ".cache" / "chainrule").expanduser().absolute())}
    return seen
