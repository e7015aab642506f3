"""Following the log of a run while it is written: whole records from any place on, and from the start where it was written anew."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from chainrule.core.files import open_to_read
from chainrule.serve.folders import LOG, parsed

PIECE = 2**18        # bytes that are read at once
MOST_LINE = 2**23    # a longer record is passed over
HEAD = 512           # bytes by which a log is known again, with its number in the file system


@dataclass(frozen=True)
class Piece:
    """Complete records, and the place after them; `anew` where all that came before no longer counts."""

    records: list[bytes]
    place: str
    anew: bool = False


class Follower:
    """Reads the log of a run folder from `place` on, as an earlier piece gave it; '' is the start.

    A place is the log's identity and an offset in it. A run that is resumed has its log replaced: its identity changes, and reading begins
    anew. What stands after the last line end is still being written, and is left for the next time.
    """

    def __init__(self, folder: Path, place: str = ""):
        self.path = folder / LOG
        self.identity, self.offset = _split(place)

    @property
    def place(self) -> str:
        return f"{self.identity}.{self.offset}" if self.identity else ""

    def read(self) -> Piece | None:
        """The next records; None where there are none yet. Raises OSError where the log cannot be read."""
        try:
            descriptor = open_to_read(self.path)
        except FileNotFoundError:
            return None
        try:
            return self._next(descriptor)
        finally:
            os.close(descriptor)

    def _next(self, descriptor: int) -> Piece | None:
        state = os.fstat(descriptor)
        head = os.read(descriptor, HEAD)
        if b"\n" not in head and len(head) < HEAD:           # its first record is not whole yet
            return None
        identity = hashlib.sha256(f"{state.st_ino} ".encode() + head.split(b"\n")[0]).hexdigest()[:16]
        anew = identity != self.identity or self.offset > state.st_size
        started = self.identity != ""
        if anew:
            self.identity, self.offset = identity, 0
        os.lseek(descriptor, self.offset, os.SEEK_SET)
        content = os.read(descriptor, PIECE)
        end = content.rfind(b"\n") + 1
        while not end and len(content) >= PIECE:             # one record longer than a piece
            more = os.read(descriptor, PIECE)
            content += more
            end = content.rfind(b"\n") + 1
            if len(content) > MOST_LINE:
                end, content = len(content), b""
            if not more:
                break
        self.offset += end
        records = [line.replace(b"\r", b" ") for line in content[:end].split(b"\n") if parsed(line) is not None]
        return Piece(records, self.place, anew and started) if end or (anew and started) else None


def _split(place: str) -> tuple[str, int]:
    identity, _, offset = place.partition(".")
    if len(identity) == 16 and offset.isascii() and offset.isdigit() and len(offset) < 16:
        return identity, int(offset)
    return "", 0
