"""What planning measured before, kept in a folder: how fast each plan was for a net on this machine, and how long compiling took."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from chainrule.core.batch import Batch
from chainrule.core.files import read_plain, write_atomically
from chainrule.core.places import cache_folder
from chainrule.core.rule import Learner
from chainrule.core.tree import leaves
from chainrule.engine.native.compiling import compiler_words, writer_words

FORMAT = 4
# Cold, on two cores (docs/results.md), of a step of so many operations: what is expected until one was made here.
USUAL_OPERATIONS = 100
COMPILE_SECONDS = {"native": 4.0, "compiled": 15.0, "fused": 30.0, "graph": 3.0}
BASE_OPERATIONS = 100   # making the smallest program takes as long as so many operations add to a large one
KEPT_COMPILES = 9


@dataclass
class Measured:
    """What is known of a net's plans, by name: seconds a step, seconds its last compile took, and why one was refused."""

    seconds_per_step: dict[str, float] = field(default_factory=dict)
    compiling: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)


class Memory:
    """A folder of measurements; without a folder it remembers nothing. What cannot be read is dropped and measured again."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def recall(self, about: str) -> Measured:
        stored = self._read(self._file(about))
        if not stored or stored.get("about") != about:
            return Measured()
        try:
            return Measured(**{name: _checked(name, stored[name]) for name in Measured.__dataclass_fields__})
        except (KeyError, TypeError, ValueError, AttributeError):
            self._drop(self._file(about))
            return Measured()

    def keep(self, about: str, measured: Measured) -> None:
        self._write(self._file(about), {"format": FORMAT, "about": about, **vars(measured)})

    def compile_seconds(self, program: str, operations: int = USUAL_OPERATIONS) -> float:
        """How long making such a program of a step of so many operations takes: in proportion to them, at the median rate of the last few
        that were made here, or at that of another machine."""
        weight = BASE_OPERATIONS + operations
        rates = [seconds / (BASE_OPERATIONS + before) for before, seconds in self._compiles().get(program, [])]
        return weight * (median(rates) if rates else COMPILE_SECONDS.get(program, 0.0) / (BASE_OPERATIONS + USUAL_OPERATIONS))

    def compiled(self, program: str, seconds: float, operations: int = USUAL_OPERATIONS) -> None:
        seen = self._compiles()
        seen[program] = [*seen.get(program, []), (operations, round(seconds, 3))][-KEPT_COMPILES:]
        self._write(self._compiles_file, {"format": FORMAT, "about": machine(), "seconds": seen})

    def _compiles(self) -> dict[str, list[tuple[int, float]]]:
        stored = self._read(self._compiles_file)
        if not stored or stored.get("about") != machine():
            return {}
        try:
            return {str(name): [(int(n), float(s)) for n, s in seen] for name, seen in stored["seconds"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            self._drop(self._compiles_file)
            return {}

    @property
    def _compiles_file(self) -> Path | None:
        return self.folder / "compiling.json" if self.folder else None

    def _file(self, about: str) -> Path | None:
        return self.folder / f"{hashlib.sha256(about.encode()).hexdigest()[:20]}.json" if self.folder and about else None

    def _read(self, path: Path | None) -> dict[str, Any] | None:
        if path is None:
            return None
        try:
            stored = json.loads(read_plain(path))
        except OSError:
            return None
        except (ValueError, RecursionError):
            stored = None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            self._drop(path)
            return None
        return stored

    def _write(self, path: Path | None, body: dict[str, Any]) -> None:
        if path is None:
            return
        with contextlib.suppress(OSError):  # a measurement that cannot be kept is made again; no run fails for it
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(body, indent=1, sort_keys=True).encode())

    def _drop(self, path: Path | None) -> None:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def usual_folder() -> Path:
    return cache_folder() / "plans"


def about(identity: str, learner: Learner, few: Batch, graph: str = "", threads: str = "") -> str:
    """The words under which a measurement is kept: net and rule, what a step computes (the hash of its `graph`), all shapes, the machine,
    how many `threads` plans could have, the versions, those of the C compiler and of what writes programs too. Empty for no identity."""
    if not identity:
        return ""
    shapes = [f"{tuple(t.shape)} {t.dtype}" for t in leaves([learner.net.params, learner.net.buffers, learner.state])]
    reads = [f"{tuple(t.shape[1:])} {t.dtype}" for t in few.tensors()]
    return " | ".join([identity, graph, "; ".join(shapes), "; ".join(reads), threads, machine(), compiler_words(), writer_words()])


def machine() -> str:
    """Processor, cores, accelerator and versions: what a measured time depends on beside the work."""
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([processor(), f"{os.cpu_count()} cores", *cards, f"torch {torch.__version__}"])


def processor() -> str:
    """What this machine's processor calls itself."""
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def _checked(name: str, stored: dict[str, Any]) -> dict[str, Any]:
    kind = {"refused": str, "threads": int}.get(name, float)
    return {str(plan): kind(value) for plan, value in stored.items()}
