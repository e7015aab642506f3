"""How many threads torch computes with, which is a setting of the whole process: whoever changes it puts it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
