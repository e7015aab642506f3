"""A terminal that remembers what stands on it, and whether a line ever ran past its right edge; and a pair of its ends."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
import threading

CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n")


class Screen:
    """What is fed to a terminal of so many columns: `lines` as they stand, `overran` the text of lines that were too long."""

    def __init__(self, width):
        self.width, self.lines, self.row, self.column, self.overran, self.colours = width, [""], 0, 0, [], set()
        self.history = []

    def feed(self, text):
        place = 0
        for match in CONTROL.finditer(text):
            self._write(text[place : match.start()])
            place = match.end()
            self._obey(match)
        self._write(text[place:])
        return self

    def _obey(self, match):
        if match[0] == "\r":
            self.column = 0
        elif match[0] == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif match[2] == "A":
            self.row = max(0, self.row - int(match[1] or 1))
        elif match[2] == "K":
            self.history.append(self.lines[self.row])
            self.lines[self.row] = "" if match[1] == "2" else self.lines[self.row][: self.column]
        elif match[2] == "m":
            self.colours |= {int(code) for code in match[1].split(";") if code.isdigit() and int(code) >= 30}

    def _write(self, text):
        if not text:
            return
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)
        if len(self.lines[self.row]) > self.width:
            self.overran.append(self.lines[self.row])

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


@contextlib.contextmanager
def terminal(width, encoding="utf-8"):
    """The stream that a program writes to, and a function that gives a Screen with all that was written."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    pieces = []

    def listen():
        with contextlib.suppress(OSError):                   # how Linux says that the other end is closed
            while piece := os.read(ours, 65536):
                pieces.append(piece)

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    stream = os.fdopen(theirs, "w", encoding=encoding)

    def shown():
        stream.flush()
        stream.close()
        reader.join(5)
        return Screen(width).feed(b"".join(pieces).decode(encoding))

    try:
        yield stream, shown
    finally:
        with contextlib.suppress(OSError, ValueError):
            stream.close()
        reader.join(5)
        os.close(ours)
