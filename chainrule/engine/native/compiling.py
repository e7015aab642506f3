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
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from chainrule.core.errors import MachineFailed, PlanRejected
from chainrule.core.files import write_atomically
from chainrule.core.places import cache_folder

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-fPIC", "-shared", "-w",
         "-Werror=implicit-function-declaration")
KEPT = 256  # programs in the cache; the oldest go
COMPILE_SECONDS = 120
# What a compiler, or what it calls, says where the machine failed and not the program.
MACHINE = ("No space left", "Disk quota", "Killed", "out of memory", "annot allocate memory", "virtual memory exhausted", "cannot execute",
           "Permission denied", "Input/output error", "Read-only file system", "No such file or directory", "cannot find")


class Compilation:
    """A program on its way from C source to a loaded library; the compiler works in a process of its own, and ends with this object.

    Raises MachineFailed where there is no compiler.
    """

    def __init__(self, source: str, threads: int, folder: Path | None = None):
        self._compiler, self._source, self._headers = _compiler(), source, _headers()
        self._flags = [*FLAGS, *(["-fopenmp"] if threads > 1 else [])]
        digest = hashlib.sha256()
        for part in (source, *self._flags, _about(self._compiler), *(f"{name}\n{text}" for name, text in sorted(self._headers.items()))):
            digest.update(f"{len(part)}\n{part}\n".encode())
        self._key, self._folders = digest.hexdigest(), [usual_folder(), spare_folder()] if folder is None else [folder]
        cached = (_cached(place, self._key) for place in self._folders)
        self._library = next((one for one in cached if one is not None), None)
        self._process = None if self._library else _Process(self._compiler, self._flags, source, self._headers)

    def ready(self) -> bool:
        """Whether `library` returns, or raises, without waiting for the compiler."""
        return self._process is None or self._process.ended()

    def library(self) -> ctypes.CDLL:
        """The compiled program.

        Raises PlanRejected with the first error that the compiler finds; MachineFailed where it could not work.
        """
        if self._library is None:
            assert self._process is not None
            try:
                binary = self._process.binary()
            except MachineFailed:
                raise
            except PlanRejected:
                if self._flags[-1] != "-fopenmp":
                    raise
                self._process = _Process(self._compiler, self._flags[:-1], self._source, self._headers)  # it came without OpenMP
                binary = self._process.binary()
            self._library = _stored(self._folders, f"{self._key}-{hashlib.sha256(binary).hexdigest()}.so", binary)
        return self._library

    @property
    def seconds(self) -> float:
        """How long the compiler worked, where it has succeeded; 0 where the library was in the cache."""
        return self._process.seconds if self._process else 0.0


def library(source: str, threads: int, folder: Path | None = None) -> ctypes.CDLL:
    """The compiled program, from the cache where it is there whole. Raises as `Compilation` does."""
    return Compilation(source, threads, folder).library()


def usual_folder() -> Path:
    return cache_folder() / "native"


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


class _Process:
    """The compiler at work in a folder of its own, both gone with this object. Raises MachineFailed where it cannot be started."""

    def __init__(self, compiler: str, flags: Sequence[str], source: str, headers: dict[str, str]):
        self.seconds, self._began = 0.0, time.time()
        try:
            aside = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._folder = Path(aside.name)
            for name, text in headers.items():
                (self._folder / name).write_text(text)
            (self._folder / "program.c").write_text(source)
            with (self._folder / "messages").open("w") as messages:
                self._process = subprocess.Popen([compiler, *flags, "-I.", "program.c", "-o", "program.so", "-lm"], cwd=self._folder,
                                                 stdout=messages, stderr=messages, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise MachineFailed(f"the C compiler failed: {error}") from error
        self._end = weakref.finalize(self, _end, self._process, aside)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def binary(self) -> bytes:
        """The library's bytes, when the compiler has ended. Raises PlanRejected, or MachineFailed where it could not work."""
        try:
            status = self._process.wait(COMPILE_SECONDS)
            messages = (self._folder / "messages").read_text(errors="replace")
            if not status:
                program = self._folder / "program.so"
                self.seconds = max(program.stat().st_mtime - self._began, 0.0)
                return program.read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineFailed(f"the C compiler failed: {error}") from error
        finally:
            self._end()
        lines = messages.splitlines()
        first = next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")[:200]
        if status < 0 or not lines or any(word in messages for word in MACHINE):
            raise MachineFailed(f"the C compiler failed: {first}")
        raise PlanRejected(f"the C compiler failed: {first}")


def _end(process: subprocess.Popen[bytes], aside: tempfile.TemporaryDirectory[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    aside.cleanup()


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
