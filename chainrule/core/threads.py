"""How many threads can compute at once, and how many torch does with: a setting of the whole process; whoever changes it puts it back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def cores() -> int:
    """How many processors this process may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def torch_threads(count: int | None = None) -> Iterator[None]:
    """Inside, torch computes with `count` threads, or as many as before; after, with as many as before, whatever was set inside.

    >>> before = torch.get_num_threads()
    >>> with torch_threads(before + 1):
    ...     torch.get_num_threads() - before
    1
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
