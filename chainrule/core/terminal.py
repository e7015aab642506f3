"""What reaches a terminal: names come from files, so control characters are shown and not obeyed, and what cannot be encoded is escaped."""

from __future__ import annotations

import re
from typing import Any, TextIO

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")   # all but tab and line end
ERASE = "\r\x1b[2K"     # back to the start of the line, which is emptied


def printable(text: str) -> str:
    """The text with its control characters, marks that turn the direction of writing, and what is no character as escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return CONTROL.sub(lambda one: one[0].encode("unicode_escape").decode(), text)


class Printable:
    """A stream of text that shows control characters instead of passing them on; `direct` is the stream itself, for those that draw."""

    def __init__(self, stream: TextIO):
        self.direct = stream

    def write(self, text: str) -> int:
        clean = printable(text)
        encoding = getattr(self.direct, "encoding", None) or "utf-8"
        return self.direct.write(clean.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.direct, name)


def drawing(stream: Any) -> Any:
    """The stream that lines are drawn on with control sequences of ours."""
    return stream.direct if isinstance(stream, Printable) else stream
