"""Files whose parser may bring the process down are read once in a process of their own first, which may end in any way it likes.

Parsers of compiled code end in an abort or a fault on some damaged files, which no `except` sees.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from chainrule.core.errors import CorruptFile
from chainrule.data.memory import left_to_processes

SECONDS = 600
PIECE_VALUES = 2**22     # of a table, rows times columns, read at once
REFUSED, UNABLE = 3, 4   # what the process ends with where the parser refuses the file, as it will again, and where it cannot run there
PROGRAM = f"""
import sys
kind, path, memory = sys.argv[1], sys.argv[2], int(sys.argv[3])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
except (ImportError, ValueError, OSError):
    pass
try:
    import io
    import polars as pl
    source = io.BytesIO(sys.stdin.buffer.read()) if path == "-" else path
except BaseException:
    sys.exit({UNABLE})
try:
    if kind == "parquet":
        lazy = pl.scan_parquet(source)
        columns, rows = max(len(lazy.collect_schema()), 1), lazy.select(pl.len()).collect().item()
        step = max({PIECE_VALUES} // columns, 1)
        for at in range(0, rows, step):
            lazy.slice(at, step).collect()
    elif kind == "excel":
        pl.read_excel(source, engine="calamine", infer_schema_length=None)
    else:
        pl.read_ipc(source)
except ImportError:
    sys.exit({UNABLE})
except BaseException:
    sys.exit({REFUSED})
"""
_sound: set[tuple[str, int, int]] = set()


def check_readable(path: Path, kind: str, content: bytes | None = None) -> None:
    """Read a file of a kind ("parquet", "feather", "excel"), or its unpacked `content`, in a process of its own.

    A file that was read so is not read again while it stays as it is.

    Raises CorruptFile where that process was killed by it; a refusal is left to whoever reads it next.
    """
    status = path.stat()
    stamp = (str(path.absolute()), status.st_size, status.st_mtime_ns)
    if stamp in _sound:
        return
    where = "-" if content is not None else str(path.absolute())
    command = [sys.executable, "-P", "-c", PROGRAM, kind, where, str(left_to_processes())]
    try:
        done = subprocess.run(command, input=content or b"", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS,
                              check=False)
    except subprocess.TimeoutExpired:
        raise CorruptFile(f"{path} was not read in {SECONDS} s; it is damaged, or too large. Split it, or save it anew.") from None
    except OSError:   # no process can be started here: what follows reads it without the check
        return
    if done.returncode not in (0, REFUSED, UNABLE):
        ended = f"status {done.returncode}"
        if -done.returncode in set(signal.Signals):
            ended = signal.Signals(-done.returncode).name
        raise CorruptFile(f"{path} is damaged, or asks for more memory than there is: its parser ended with {ended}. Save or fetch it "
                          "again.")
    _sound.add(stamp)
