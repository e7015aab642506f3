"""The occasionally dishonest casino: Durbin, Eddy, Krogh & Mitchison (1998), https://doi.org/10.1017/CBO9780511790492, section 3.2"""

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

FACES = tuple("123456")
LOADED = (0.1, 0.1, 0.1, 0.1, 0.1, 0.5)
STAYS = (0.95, 0.9)                     # with the fair die, and with the loaded one


@datasets("casino", source="Durbin, Eddy, Krogh & Mitchison (1998), https://doi.org/10.1017/CBO9780511790492")
def casino(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 200, length: int = 300,
           seed: int = 0) -> Source:
    """Rolls of a die that is now and then exchanged for one that shows a six every second time; nothing says when."""
    symbols, _ = rolls(count, length, seed)
    what = f"casino:count={count},length={length},seed={seed}"
    return Source("casino", symbols, None, "none", {"kind": "named", "what": what}, fingerprint.of(symbols.codes, None, FACES))


def rolls(count: int, length: int, seed: int) -> tuple[Symbols, torch.Tensor]:
    """Sequences of rolls, and at which of them (count, length) the loaded die was used. Raises InputError for fewer than one."""
    if count < 2 or length < 1:
        raise InputError(f"casino expects count of at least 2 and length of at least 1; got count={count}, length={length}. Write e.g. "
                         "casino:count=200,length=300.")
    random = np.random.default_rng(seed)
    loaded = np.zeros((count, length), bool)
    for step in range(1, length):
        stays = random.random(count) < np.where(loaded[:, step - 1], STAYS[1], STAYS[0])
        loaded[:, step] = loaded[:, step - 1] == stays
    draws = random.random((count, length))
    edges = np.cumsum(LOADED)[:-1]
    codes = np.where(loaded, np.searchsorted(edges, draws, side="right"), (6 * draws).astype(int)).astype(np.uint8)
    return Symbols(torch.from_numpy(codes), FACES), torch.from_numpy(loaded)
