"""Reading ahead: a thread fetches the next item while the one before it is used."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from chainrule.core.errors import ChainruleError

T = TypeVar("T")
POLL_SECONDS = 0.5     # how long a thread that died without a message can go unnoticed
STALLED_SECONDS = 60.0  # without an item, and a thread that lives is taken to hang: a few megabytes take no disk so long
CLOSING_SECONDS = 5.0   # that closing waits for a thread; one that hangs is left to itself


def ahead(items: Iterator[T], name: str) -> Generator[T, None, None]:
    """The same items in the same order; one waits while another is fetched. `name` says what is read, for a message.

    An error of `items` is raised here, in the thread that asked. Closing this generator, or dropping it, ends the thread. Raises
    ChainruleError where the thread has ended without a message, or brings nothing for STALLED_SECONDS.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(1)
    closed = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not closed.is_set():
            try:
                waiting.put((kind, value), timeout=POLL_SECONDS)
                return not closed.is_set()
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
                del item
            put("end", None)
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            put("error", error)

    thread = threading.Thread(target=fetch, name=f"chainrule reads {name}", daemon=True)
    thread.start()
    silent = 0     # polls in a row: a process that was suspended has not waited, whatever the clock says
    try:
        while True:
            try:
                kind, value = waiting.get(timeout=POLL_SECONDS)
            except queue.Empty:
                silent += 1
                if silent * POLL_SECONDS >= STALLED_SECONDS:
                    raise ChainruleError(f"{name}: nothing came for {STALLED_SECONDS:g} s. See to the disk, or the network, that it is "
                                         "on; then resume the run from its last save.") from None
                if thread.is_alive() or not waiting.empty():
                    continue
                raise ChainruleError(f"the thread that reads {name} ended without a message; resume the run from its last save.") from None
            silent = 0
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
            del value
    finally:
        closed.set()
        last = time.monotonic() + CLOSING_SECONDS
        while thread.is_alive() and time.monotonic() < last:  # empty the queue, so that one who waits to put sees that nobody will come
            try:
                waiting.get_nowait()
            except queue.Empty:
                thread.join(timeout=0.01)
