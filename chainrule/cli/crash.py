"""What nothing else has caught: one sentence for the user, and the traceback in a file for whoever mends it."""

from __future__ import annotations

import contextlib
import platform
import tempfile
import traceback
from pathlib import Path

import chainrule
from chainrule.core.terminal import printable

NAME = "crash{}.txt"
MOST = 1000     # files of this name beside one another
SHOWN = 300     # characters of an error's own words


def crashed(error: BaseException, arguments: list[str]) -> str:
    """The sentence for an error that nobody expected; its traceback is written beside, in a file that the sentence names."""
    from chainrule.engine.plans.microbatch import out_of_memory

    if out_of_memory(error):
        what = "There is not enough memory for this. Use a smaller --batch, a smaller net, or --stream, or close other programs"
    elif isinstance(error, OSError) and error.strerror:
        place = f"{error.filename} " if error.filename is not None else ""
        what = f"{place}cannot be read or written: {error.strerror}. Free some space, or name another place"
    else:
        words = printable(str(error).strip().partition("\n")[0])[:SHOWN]
        what = f"chainrule failed where it should not: {type(error).__name__}{': ' + words if words else ''}. Please report it"
    path = _write(error, arguments)
    return f"{what}; {f'the traceback is in {path}' if path else 'the traceback could not be written'}."


def _write(error: BaseException, arguments: list[str]) -> Path | None:
    """The traceback in a new file of the working directory, or of that for temporary files; None where neither can be written."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    system = f"chainrule {chainrule.__version__}, Python {platform.python_version()}, {platform.platform()}"
    head = f"{system}\nchainrule {' '.join(arguments)}\n\n"
    for folder in (Path.cwd, lambda: Path(tempfile.gettempdir())):
        for number in range(MOST):
            with contextlib.suppress(OSError):
                path = folder() / NAME.format(f"-{number + 1}" if number else "")
                if path.exists():
                    continue
                with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(head + "".join(lines))
                return path
            break
    return None
