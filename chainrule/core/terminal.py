"""What reaches a terminal: names come from files, so control characters are shown and not obeyed, and what cannot be encoded is escaped."""

from __future__ import annotations

import contextlib
import os
import re
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")   # all but tab and line end
ERASE = "\r\x1b[2K"     # back to the start of the line, which is emptied
COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "grey": 90}
USUAL_COLUMNS = 80


def printable(text: str) -> str:
    """The text with its control characters, marks that turn the direction of writing, and what is no character as escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return CONTROL.sub(lambda one: one[0].encode("unicode_escape").decode(), text)


class OutputFailed(OSError):
    """What was printed reaches nobody: the device is full, or gone."""


class Printable:
    """A stream of text that shows control characters instead of passing them on; `direct` is the stream itself, for those that draw."""

    def __init__(self, stream: TextIO):
        self.direct = stream

    def write(self, text: str) -> int:
        clean = printable(text)
        encoding = getattr(self.direct, "encoding", None) or "utf-8"
        with _reaching():
            return self.direct.write(clean.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        with _reaching():
            self.direct.flush()

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.direct, name)


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """A reader that has gone is another matter, and met quietly."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error.errno or 0, error.strerror or str(error)) from None


def drawing(stream: Any) -> Any:
    """The stream that lines are drawn on with control sequences of ours."""
    return stream.direct if isinstance(stream, Printable) else stream


def is_terminal(stream: Any) -> bool:
    """Whether lines can be redrawn there: a terminal that is not dumb."""
    return not stream.closed and bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def in_colour(stream: Any) -> bool:
    """Whether colours are wanted there: in a terminal, unless NO_COLOR says otherwise, https://no-color.org"""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def columns(stream: Any) -> int:
    """How many columns a terminal has: what COLUMNS says, else the terminal itself, else 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    return USUAL_COLUMNS


def painted(text: str, colour: str) -> str:
    """A text that is clean already, in one of COLOURS."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def wrapped(text: str, width: int) -> str:
    """The text with lines of at most `width` columns, broken between words; what a line goes on with is set in. A longer word stays whole.

    >>> print(wrapped("Remedy: lower the rate to 0.01 or less", 20))
    Remedy: lower the
      rate to 0.01 or
      less
    """
    lines = []
    for line in text.split("\n"):
        lead = line[: len(line) - len(line.lstrip())] + "  "
        long = len(line) > width
        lines += textwrap.wrap(line, width, subsequent_indent=lead, break_long_words=False, break_on_hyphens=False) if long else [line]
    return "\n".join(lines)


def fitting(text: str, stream: Any) -> str:
    """The text as a stream shows it best: broken between words in a terminal, elsewhere as it is."""
    return wrapped(text, columns(stream)) if not stream.closed and stream.isatty() else text
