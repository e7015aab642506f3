"""Server-sent events: the logs of some runs as they grow, each reader at its own pace, which is all the memory that it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from chainrule.serve.follow import Follower, Piece

PAUSE = 0.1              # seconds between looks at logs that have nothing new
BREATH = 10.0            # of silence, after which a comment shows that the line still stands
MOST_STREAMS, MOST_RUNS = 100, 24
STREAM = "text/event-stream"


class Streams:
    """How many readers there are, and since when there has been none."""

    def __init__(self) -> None:
        self.open, self.since = 0, time.monotonic()

    async def records(self, folders: list[Path], places: str) -> AsyncIterator[bytes]:
        """The records of the runs in these folders, from the places of an event's id on. The file is the buffer: nothing is queued."""
        self.open += 1
        try:
            async for message in _records(folders, places):
                yield message
        finally:
            self.open -= 1
            self.since = time.monotonic()


async def _records(folders: list[Path], places: str) -> AsyncIterator[bytes]:
    given = places.split(",")
    followers = [Follower(folder, given[i] if len(given) == len(folders) else "") for i, folder in enumerate(folders)]
    yield b"retry: 500\n\n"
    caught_up, silent = False, time.monotonic()
    while True:
        quiet = True
        for number, follower in enumerate(followers):
            try:
                piece = follower.read()
            except OSError:                                  # gone, or a link: it may come back
                piece = None
            if piece is not None:
                quiet, silent = False, time.monotonic()
                yield _message(number, piece, ",".join(f.place for f in followers))
        if not quiet:
            await asyncio.sleep(0)
            continue
        if not caught_up:
            caught_up = True
            yield b"event: current\ndata: \n\n"
        if time.monotonic() - silent > BREATH:
            silent = time.monotonic()
            yield b": \n\n"
        await asyncio.sleep(PAUSE)


def _message(number: int, piece: Piece, identity: str) -> bytes:
    kind = b"anew" if piece.anew else b"records"
    lines = [b"id: " + identity.encode(), b"event: " + kind, b"data: %d" % number, *(b"data: " + record for record in piece.records)]
    return b"\n".join(lines) + b"\n\n"
