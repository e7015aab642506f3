"""How long a person waits: from the shell to the first training step on digits, and what `import chainrule` adds to `import torch`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from chainrule.bench.harness import ROOT, Spread, aligned, in_turns, python, reachable, tell, verdict
from chainrule.core.errors import InputError

SHELL_SECONDS, IMPORT_SECONDS = 4.0, 0.2
LOOK_SECONDS = 0.005  # between two looks at the run log
IMPORTS = {"import torch": "torch alone", "import chainrule, torch": "the package", "from chainrule import train": "what training needs"}


def first_step() -> float:
    """Seconds from starting `chainrule train digits --steps 1` until its log says that the step is done and validated."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "chainrule", "train", "digits", "--steps", "1", "--out", str(run)]
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, env=reachable(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while not stepped(run / "log.jsonl"):
                if process.poll() is not None and not stepped(run / "log.jsonl"):
                    raise InputError(f"{' '.join(command)} took no step: {process.stderr.read() if process.stderr else ''}")
                time.sleep(LOOK_SECONDS)
            took = time.perf_counter() - began
            process.kill()
    return took


def stepped(log: Path) -> bool:
    """Whether the log holds, in a whole line, the evaluation after the only step."""
    lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    return any(json.loads(line)["event"] == "evaluated" for line in lines if line)


def importing(code: str) -> float:
    """Seconds a fresh interpreter spends on `code`, its own start not counted."""
    return float(python(f"import time; t = time.perf_counter()\n{code}\nprint(time.perf_counter() - t)"))


def main(repeats: int = 7, record: bool = False) -> None:
    """From the shell to the first step on digits (under 4 s), and import chainrule against import torch (at most 0.2 s more)."""
    steps = Spread.of(in_turns({"shell": first_step}, repeats)["shell"])
    took = in_turns({code: partial(importing, code) for code in IMPORTS}, repeats)
    plain, *ours = took
    more = {code: Spread.of([a - b for a, b in zip(took[code], took[plain], strict=True)]) for code in ours}
    rows = [["fresh interpreters, in turns", "s, median (least to most)", "more than torch, by rounds"],
            ["shell to the first step, validated", steps.shown(".2f"), ""], [plain, Spread.of(took[plain]).shown(".2f"), ""],
            *([f"{code} ({IMPORTS[code]})", Spread.of(took[code]).shown(".2f"), more[code].shown(".3f")] for code in ours)]
    worst = max(m.middle for m in more.values())
    tell("start", [f"{repeats} rounds, files warm in the cache of the system", "", *aligned(rows), "",
                   f"first step after {steps.middle:.2f} s; {verdict(steps.middle < SHELL_SECONDS, f'under {SHELL_SECONDS:.0f} s')}",
                   f"import {worst:.3f} s over torch; {verdict(worst <= IMPORT_SECONDS, f'at most {IMPORT_SECONDS} s')}"], record)
