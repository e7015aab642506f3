"""What every benchmark shares: sides in turns, medians with their spread, the machine in the first lines, a place to keep results."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from chainrule import __version__
from chainrule.core.errors import InputError
from chainrule.core.threads import torch_threads
from chainrule.engine.plans.cache import processor

ROOT = Path(__file__).parents[2]  # of the checkout
RESULTS = ROOT / "docs" / "results.md"
FEWEST_REPEATS = 5
INSTRUCTIONS = {"avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "avx512_bf16": "AVX-512-BF16", "amx_bf16": "AMX-BF16", "asimd": "NEON"}
T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, with the least and the greatest."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def shown(self, form: str = ".3g", factor: float = 1.0) -> str:
        """`1.02 (1.01 to 1.04)`."""
        return "{:{f}} ({:{f}} to {:{f}})".format(*(factor * v for v in (self.middle, self.low, self.high)), f=form)


def in_turns(sides: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Each side once a round, A B A B, so that a busy machine slows them all alike. One round before is thrown away;
    whatever number of threads a side sets, torch has as many afterwards as before.

    Raises InputError for fewer than five repeats: a median of less says little.
    """
    if repeats < FEWEST_REPEATS:
        raise InputError(f"--repeats must be at least {FEWEST_REPEATS} for a median and a spread; got {repeats}.")
    values: dict[str, list[T]] = {name: [] for name in sides}
    with torch_threads():
        for round_ in range(repeats + 1):
            for name, side in sides.items():
                value = side()
                if round_:
                    values[name].append(value)
    return values


def ratio(ours: Sequence[float], peer: Sequence[float]) -> Spread:
    """Ours over the peer's, round by round, because the two of a round saw the same machine."""
    return Spread.of([a / b for a, b in zip(ours, peer, strict=True)])


def machine() -> list[str]:
    """What the numbers were measured on: processor, cores, system, versions, and how busy it was."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return [f"{processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GB, {platform.system()}, load {os.getloadavg()[0]:.1f} at the end",
            f"{time.strftime('%Y-%m-%d')}, chainrule {__version__}{_commit()}, torch {torch.__version__}, "
            f"Python {platform.python_version()}"]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first column flush left, the others flush right."""
    from chainrule.core.text import table

    return table([list(row) for row in rows], indent="")


def verdict(reached: bool, target: str) -> str:
    return f"target {target}: {'reached' if reached else 'MISSED'}"


def tell(name: str, lines: Sequence[str], record: bool) -> None:
    """Print what was found; with `record`, keep it under the work's heading in docs/results.md, the newest first."""
    text = "\n".join([*machine(), "", *lines])
    print(text, flush=True)
    if record:
        keep(RESULTS, name, text)
        print(f"\nRecorded in {RESULTS.relative_to(ROOT)}.")


def keep(path: Path, name: str, text: str) -> None:
    """Insert `text` after the line `<!-- bench NAME -->` of a Markdown file. Raises InputError where there is no such line."""
    mark = marked(path, name)
    path.write_text(path.read_text().replace(mark, f"{mark}\n```text\n{text}\n```\n"))


def marked(path: Path, name: str) -> str:
    """The line of a Markdown file under which the figures of a work are kept. Raises InputError where it is not there, or not once."""
    mark = f"<!-- bench {name} -->\n"
    if not path.is_file():
        raise InputError(f"--record keeps figures in docs/results.md of a checkout; there is no {path}. Leave it out, or use --json.")
    count = path.read_text().count(mark)
    if count != 1:
        raise InputError(f"{path} needs exactly one line {mark.strip()}; it has {count}. Give the work a heading there.")
    return mark


def reachable() -> dict[str, str]:
    """An environment in which a fresh interpreter finds this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)}


def python(code: str) -> str:
    """What a fresh interpreter running `code` prints. Raises InputError with its last line where it fails."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=reachable(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"the other process ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return done.stdout


def features() -> str:
    """The instruction sets that decide how fast nets are here."""
    try:
        match = re.search(r"^flags\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    flags = set(match.group(1).split()) if match else set()
    sets = " ".join(shown for flag, shown in INSTRUCTIONS.items() if flag in flags) or "instruction sets unknown"
    return sets if {"avx512_bf16", "amx_bf16"} & flags else f"{sets}, no native bfloat16"


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""
