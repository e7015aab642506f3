"""A request to stop, set from a signal handler and obeyed by the loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.core.errors import Interrupted


class Stop:
    """Set from a signal handler: the loop ends at the next chunk, saved. While planning or compiling it ends at once."""

    def __init__(self) -> None:
        self.requested = ""
        self.at_once = False

    @contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """A span that changes nothing of the run, so that a signal need not wait for its end."""
        self.at_once = True
        try:
            if self.requested:
                self.request(self.requested)
            yield
        finally:
            self.at_once = False

    def request(self, reason: str) -> None:
        self.requested = reason
        if self.at_once:
            raise Interrupted(f"Stopped by {reason} while the plan was chosen; nothing has changed since the last save.", reason)
