"""From C source to a loaded library: compiled in a temporary folder, kept under the hash of all it depends on, verified when loaded."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.resources
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chainrule.core.errors import MachineFailed, PlanRejected
from chainrule.core.files import write_atomically

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-fPIC", "-shared", "-w",
         "-Werror=implicit-function-declaration")
KEPT = 256  # programs in the cache; the oldest go
COMPILE_SECONDS = 120
# What a compiler, or what it calls, says where the machine failed and not the program.
MACHINE = ("No space left", "Disk quota", "Killed", "out of memory", "annot allocate memory", "virtual memory exhausted", "cannot execute",
           "Permission denied", "Input/output error", "Read-only file system", "No such file or directory", "cannot find")


def library(source: str, threads: int, folder: Path | None = None) -> ctypes.CDLL:
    """The compiled program, from the cache where it is there whole.

    Raises PlanRejected with the first error that the compiler finds; MachineFailed where there is no compiler, or it could not work.
    """
    compiler = _compiler()
    flags = [*FLAGS, *(["-fopenmp"] if threads > 1 else [])]
    headers = _headers()
    digest = hashlib.sha256()
    for part in (source, *flags, _about(compiler), *(f"{name}\n{text}" for name, text in sorted(headers.items()))):
        digest.update(f"{len(part)}\n{part}\n".encode())
    folders = [usual_folder(), spare_folder()] if folder is None else [folder]
    for place in folders:
        cached = _cached(place, digest.hexdigest())
        if cached is not None:
            return cached
    try:
        binary = _compiled(compiler, flags, source, headers)
    except MachineFailed:
        raise
    except PlanRejected:
        if flags[-1] != "-fopenmp":
            raise
        binary = _compiled(compiler, flags[:-1], source, headers)  # a compiler that came without OpenMP
    return _stored(folders, f"{digest.hexdigest()}-{hashlib.sha256(binary).hexdigest()}.so", binary)


def usual_folder() -> Path:
    return Path.home() / ".cache" / "chainrule" / "native"


def spare_folder() -> Path:
    """Where programs are kept if none can be loaded from the home, which may be read-only, or mounted such that nothing in it runs."""
    return Path(tempfile.gettempdir()) / f"chainrule-native-{os.geteuid()}"


def private(path: Path) -> bool:
    """Whether nobody but its owner can have written a folder or file, and its owner is who runs this, or root."""
    about, itself = path.stat(), path.lstat()  # of a link, what it leads to and itself
    return {about.st_uid, itself.st_uid} <= {os.geteuid(), 0} and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def compiler_words() -> str:
    """Which C compiler there is, in words that change with its version; empty where there is none."""
    try:
        path = Path(_compiler()).resolve()
        about = path.stat()
    except (PlanRejected, OSError):
        return ""
    return f"{path}, {about.st_size} bytes of {about.st_mtime_ns}"


@functools.cache
def writer_words() -> str:
    """What writes the programs out, in words that change with it: what one version refuses the next may know."""
    folder = importlib.resources.files(__package__)
    sources = sorted((f.name, f.read_bytes()) for f in folder.iterdir() if f.name.endswith((".py", ".h")))
    return hashlib.sha256(b"".join(name.encode() + source for name, source in sources)).hexdigest()[:16]


def _compiler() -> str:
    for name in COMPILERS:
        path = shutil.which(name)
        if path:
            return path
    raise MachineFailed("there is no C compiler on this machine (cc, gcc or clang)")


@functools.cache
def _headers() -> dict[str, str]:
    folder = importlib.resources.files(__package__)
    return {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith(".h")}


@functools.cache
def _about(compiler: str) -> str:
    """What the compiler is and what processor it writes for: all that it predefines."""
    try:
        done = subprocess.run([compiler, "-march=native", "-E", "-dM", "-x", "c", "-"], input="", capture_output=True, text=True,
                              check=False, timeout=COMPILE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineFailed(f"the C compiler failed: {error}") from error
    return compiler + done.stdout


def _compiled(compiler: str, flags: Sequence[str], source: str, headers: dict[str, str]) -> bytes:
    try:
        with tempfile.TemporaryDirectory() as aside:
            folder = Path(aside)
            for name, text in headers.items():
                (folder / name).write_text(text)
            (folder / "program.c").write_text(source)
            done = subprocess.run([compiler, *flags, "-I.", "program.c", "-o", "program.so", "-lm"], cwd=folder, capture_output=True,
                                  text=True, check=False, timeout=COMPILE_SECONDS)
            if not done.returncode:
                return (folder / "program.so").read_bytes()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineFailed(f"the C compiler failed: {error}") from error
    lines = done.stderr.splitlines()
    first = next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")[:200]
    if done.returncode < 0 or not lines or any(word in done.stderr for word in MACHINE):
        raise MachineFailed(f"the C compiler failed: {first}")
    raise PlanRejected(f"the C compiler failed: {first}")


def _cached(folder: Path, key: str) -> ctypes.CDLL | None:
    """The library kept under `key`, or None.

    An entry whose bytes are not those its name tells of is dropped; one that others may have written is left alone, unread.
    """
    with contextlib.suppress(OSError):
        if not private(folder):
            return None
        for path in folder.glob(f"{key}-*.so"):
            with contextlib.suppress(OSError):
                if not private(path):
                    continue
                if hashlib.sha256(path.read_bytes()).hexdigest() == path.stem.removeprefix(f"{key}-"):
                    with contextlib.suppress(OSError):
                        path.touch()
                    return _loaded(path)
                path.unlink()
    return None


def _stored(folders: Sequence[Path], name: str, made: bytes) -> ctypes.CDLL:
    """The program loaded from the first folder that is private, holds it and lets it run; else from one of its own, not kept."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not private(folder):
                continue
            write_atomically(folder / name, made)
            (folder / name).chmod(0o600)
            loaded = _loaded(folder / name)
            _tidied(folder)
            return loaded
    try:
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "program.so"
            path.write_bytes(made)
            return _loaded(path)
    except OSError as error:
        raise MachineFailed(f"the program could not be loaded: {error}") from error


def _loaded(path: Path) -> ctypes.CDLL:
    """Raises OSError where the folder's file system lets nothing in it run."""
    return ctypes.CDLL(str(path))


def _tidied(folder: Path) -> None:
    with contextlib.suppress(OSError):
        libraries = sorted(folder.glob("*.so"), key=lambda p: p.stat().st_mtime)
        for path in libraries[:-KEPT]:
            path.unlink()
