"""Sequences of nucleotides in which a motif is hidden: Pribnow (1975), https://doi.org/10.1073/pnas.72.3.784"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

NUCLEOTIDES = ("A", "C", "G", "T")
MOTIF = "TATAAT"
CLASSES = ("motif", "none")


@datasets("motifs", source="Pribnow (1975), https://doi.org/10.1073/pnas.72.3.784: the sequence TATAAT before a gene")
def motifs(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 2000, length: int = 60,
           seed: int = 0) -> Source:
    """Sequences of nucleotides, in every second of which TATAAT is hidden at a random place; the others hide its letters in another order.

    So how often a letter occurs says nothing of the class. Raises InputError for a length that no motif fits into.
    """
    if count < 2 or length < len(MOTIF):
        raise InputError(f"motifs expects count of at least 2 and length of at least {len(MOTIF)}; got count={count}, length={length}. "
                         "Write e.g. motifs:count=2000,length=60.")
    motif = np.array([NUCLEOTIDES.index(letter) for letter in MOTIF], np.uint8)
    codes, hidden = np.empty((count, length), np.uint8), np.arange(count) % 2
    for number in range(count):
        random = np.random.default_rng([seed, number])
        planted = motif
        while not hidden[number] and (planted == motif).all():
            planted = random.permutation(motif)
        while True:                                       # until it is there as often as the class says, and not by chance
            codes[number] = random.integers(len(NUCLEOTIDES), size=length)
            place = random.integers(length - len(motif) + 1)
            codes[number, place : place + len(motif)] = planted
            windows = np.lib.stride_tricks.sliding_window_view(codes[number], len(motif))
            if int((windows == motif).all(1).sum()) == hidden[number]:
                break
    symbols, y = Symbols(torch.from_numpy(codes), NUCLEOTIDES), torch.from_numpy(1 - hidden)
    what = f"motifs:count={count},length={length},seed={seed}"
    digest = fingerprint.of(symbols.codes, y, (*NUCLEOTIDES, *CLASSES))
    return Source("motifs", symbols, y, "class", {"kind": "named", "what": what}, digest, CLASSES)
