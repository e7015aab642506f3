"""From C source to a loaded library: compiled in a temporary folder, kept under the hash of all it depends on, verified when loaded."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.resources
import shutil
import subprocess
import tempfile
from pathlib import Path

from chainrule.core.errors import PlanRejected
from chainrule.core.files import write_atomically

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-fPIC", "-shared", "-w",
         "-Werror=implicit-function-declaration")
KEPT = 256  # programs in the cache; the oldest go
COMPILE_SECONDS = 120


def library(source: str, threads: int, folder: Path | None = None) -> ctypes.CDLL:
    """The compiled program, from the cache where it is there whole.

    Raises PlanRejected where there is no compiler, or with the first error that it finds.
    """
    compiler = _compiler()
    flags = [*FLAGS, *(["-fopenmp"] if threads > 1 else [])]
    headers = _headers()
    digest = hashlib.sha256()
    for part in (source, *flags, _about(compiler), *(f"{name}\n{text}" for name, text in sorted(headers.items()))):
        digest.update(f"{len(part)}\n{part}\n".encode())
    folder = usual_folder() if folder is None else folder
    found = _cached(folder, digest.hexdigest())
    if found is not None:
        return found
    try:
        made = _compiled(compiler, flags, source, headers)
    except PlanRejected:
        if flags[-1] != "-fopenmp":
            raise
        made = _compiled(compiler, flags[:-1], source, headers)  # a compiler that came without OpenMP
    path = folder / f"{digest.hexdigest()}-{hashlib.sha256(made).hexdigest()}.so"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, made)
    except OSError:  # a cache that cannot be written is no reason not to run
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "program.so"
            path.write_bytes(made)
            return _loaded(path)
    _tidied(folder)
    return _loaded(path)


def usual_folder() -> Path:
    return Path.home() / ".cache" / "chainrule" / "native"


def _compiler() -> str:
    for name in COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise PlanRejected("there is no C compiler on this machine (cc, gcc or clang)")


@functools.cache
def _headers() -> dict[str, str]:
    folder = importlib.resources.files(__package__)
    return {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith(".h")}


@functools.cache
def _about(compiler: str) -> str:
    """What the compiler is and what processor it writes for: all that it predefines."""
    done = subprocess.run([compiler, "-march=native", "-E", "-dM", "-x", "c", "-"], input="", capture_output=True, text=True, check=False,
                          timeout=COMPILE_SECONDS)
    return compiler + done.stdout


def _compiled(compiler: str, flags: list[str], source: str, headers: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        for name, text in headers.items():
            (folder / name).write_text(text)
        (folder / "program.c").write_text(source)
        try:
            done = subprocess.run([compiler, *flags, "-I.", "program.c", "-o", "program.so", "-lm"], cwd=folder, capture_output=True,
                                  text=True, check=False, timeout=COMPILE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PlanRejected(f"the C compiler failed: {error}") from error
        if done.returncode or not (folder / "program.so").exists():
            said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["it said nothing"]
            raise PlanRejected(f"the C compiler failed: {said[0][:200]}")
        return (folder / "program.so").read_bytes()


def _cached(folder: Path, key: str) -> ctypes.CDLL | None:
    """The library kept under `key`, or None; an entry whose bytes are not those its name tells of is dropped."""
    for path in folder.glob(f"{key}-*.so"):
        with contextlib.suppress(OSError):
            if hashlib.sha256(path.read_bytes()).hexdigest() == path.stem.removeprefix(f"{key}-"):
                with contextlib.suppress(OSError):
                    path.touch()
                return _loaded(path)
            path.unlink()
    return None


def _loaded(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise PlanRejected(f"the program could not be loaded: {error}") from error


def _tidied(folder: Path) -> None:
    with contextlib.suppress(OSError):
        kept = sorted(folder.glob("*.so"), key=lambda p: p.stat().st_mtime)
        for path in kept[:-KEPT]:
            path.unlink()
