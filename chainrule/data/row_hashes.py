"""A number for each encoded row, by which rows are known again when the file they came from has gone.

Multilinear hashing over random odd factors: Lemire & Kaser (2014), https://doi.org/10.1093/comjnl/bxt070
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PIECE_BYTES = 2**24
MIXER = np.uint64(0xBF58476D1CE4E5B9)


def row_hashes(x: Tensor) -> Tensor:
    """(n,) int64 of rows (n, ...): equal rows of one type have equal numbers, on every machine."""
    if not len(x):
        return torch.empty(0, dtype=torch.int64)
    rows = x.reshape(len(x), -1)
    rows = rows + 0.0 if rows.is_floating_point() else rows                             # -0 is 0
    raw = np.ascontiguousarray(rows.numpy()).view(np.uint8).reshape(len(x), -1)          # (n, bytes)
    words = -(-raw.shape[1] // 8)
    factors = np.random.default_rng(20).integers(0, 2**63, words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes, step = np.empty(len(x), np.uint64), max(1, PIECE_BYTES // max(8 * words, 1))
    for at in range(0, len(x), step):
        few = raw[at : at + step]
        padded = np.zeros((len(few), 8 * words), np.uint8)
        padded[:, : few.shape[1]] = few
        mixed = padded.view(np.uint64) * MIXER                                            # (few, words)
        mixed ^= mixed >> np.uint64(31)
        hashes[at : at + step] = (mixed * factors).sum(1, dtype=np.uint64)
    return torch.from_numpy(hashes.view(np.int64))
