"""Strings that are to be written backwards: Grefenstette, Hermann, Suleyman & Blunsom (2015), https://arxiv.org/abs/1506.02516"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.pairs import Pair, source_of
from chainrule.data.source import Source

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@datasets("reversal", source="Grefenstette, Hermann, Suleyman & Blunsom (2015), https://arxiv.org/abs/1506.02516")
def reversal(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, length: int = 10, fewest: int | None = None,
             count: int = 10_000, letters: int = 26, seed: int = 0) -> Source:
    """Strings of `fewest` to `length` letters, each drawn by itself, with the same backwards as targets; no string is there twice.

    Every length is as likely, until its strings run out; without `fewest` all strings have `length` letters. Raises InputError for options
    that allow no such set.
    """
    least = length if fewest is None else fewest
    if count < 2 or not 1 <= least <= length or not 2 <= letters <= len(LETTERS):
        raise InputError(f"reversal expects count of at least 2, fewest from 1 to length and letters from 2 to {len(LETTERS)}; got "
                         f"count={count}, fewest={least}, length={length}, letters={letters}. Write e.g. reversal:length=10.")
    there = sum(letters**size for size in range(least, length + 1))
    if there < 2 * count:                                                    # else they take long to be drawn
        raise InputError(f"reversal draws {count:,} different strings from at least twice as many; there are {there:,} of {least} to "
                         f"{length} of {letters} letters. Write a larger length, or a smaller count.")
    random = np.random.default_rng(seed)
    strings: dict[str, None] = {}                                            # in the order in which they were drawn
    while len(strings) < count:
        size = int(random.integers(least, length + 1))
        strings["".join(LETTERS[i] for i in random.integers(letters, size=size))] = None
    what = f"reversal:length={length},fewest={least},count={count},letters={letters},seed={seed}"
    return source_of([Pair(string, string[::-1]) for string in strings], origin={"kind": "named", "what": what}, name="reversal")
