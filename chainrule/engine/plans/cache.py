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
from chainrule.core.files import write_atomically
from chainrule.core.rule import Learner
from chainrule.core.tree import leaves

FORMAT = 2
# Cold, on two cores (docs/results.md): what is expected until one was made here.
COMPILE_SECONDS = {"native": 4.0, "compiled": 15.0, "fused": 30.0, "graph": 3.0}
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

    def keep(self, about: str, found: Measured) -> None:
        self._write(self._file(about), {"format": FORMAT, "about": about, **vars(found)})

    def compile_seconds(self, program: str) -> float:
        """How long compiling to such a program usually takes here: the median of the last few, or what it took elsewhere."""
        seen = self._compiles().get(program, [])
        return median(seen) if seen else COMPILE_SECONDS.get(program, 0.0)

    def compiled(self, program: str, seconds: float) -> None:
        seen = self._compiles()
        seen[program] = [*seen.get(program, []), round(seconds, 3)][-KEPT_COMPILES:]
        self._write(self._compiles_file, {"format": FORMAT, "about": machine(), "seconds": seen})

    def _compiles(self) -> dict[str, list[float]]:
        stored = self._read(self._compiles_file)
        if not stored or stored.get("about") != machine():
            return {}
        try:
            return {str(name): [float(s) for s in seen] for name, seen in stored["seconds"].items()}
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
            stored = json.loads(path.read_bytes())
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
    return Path.home() / ".cache" / "chainrule" / "plans"


def about(identity: str, learner: Learner, few: Batch) -> str:
    """The words under which a measurement is kept: net and rule, all shapes, the machine, the versions. Empty for no identity."""
    if not identity:
        return ""
    shapes = [f"{tuple(t.shape)} {t.dtype}" for t in leaves([learner.net.params, learner.net.buffers, learner.state])]
    reads = [f"{tuple(t.shape[1:])} {t.dtype}" for t in few.tensors()]
    return " | ".join([identity, "; ".join(shapes), "; ".join(reads), machine()])


def machine() -> str:
    """Processor, cores, accelerator and versions: what a measured time depends on beside the work."""
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([processor(), f"{os.cpu_count()} cores", *cards, f"torch {torch.__version__}"])


def processor() -> str:
    """What this machine's processor calls itself."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _checked(name: str, stored: dict[str, Any]) -> dict[str, Any]:
    kind = {"refused": str, "threads": int}.get(name, float)
    return {str(plan): kind(value) for plan, value in stored.items()}
