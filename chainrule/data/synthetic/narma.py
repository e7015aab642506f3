"""A system of order ten that remembers what drove it: Atiya & Parlos (2000), https://doi.org/10.1109/72.846741"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

ORDER, WASHED = 10, 200       # steps that the system remembers, and those that pass before it is observed


@datasets("narma10", source="Atiya & Parlos (2000), https://doi.org/10.1109/72.846741; Jaeger (2003), NIPS 15:593")
def narma10(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 4000, lags: int = 60,
            seed: int = 0) -> Source:
    """Windows (n, lags, 1) of what drives a system of order ten, evenly from 0 to 0.5, and what the system answers to the last of them.

    y[t+1] = 0.3 y[t] + 0.05 y[t] (y[t] + ... + y[t-9]) + 1.5 u[t-9] u[t] + 0.1. The past trains, the future tests. Raises InputError for
    fewer lags than the system remembers.
    """
    if lags < ORDER or count < 10:
        raise InputError(f"narma10 expects at least {ORDER} lags, which the system remembers, and 10 rows; got lags={lags}, count={count}. "
                         "Write e.g. narma10:count=4000,lags=60.")
    steps = WASHED + lags + count
    u, y = np.random.default_rng(seed).uniform(0, 0.5, steps), np.zeros(steps + 1)
    for t in range(ORDER - 1, steps):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    first = WASHED + 1
    driven = torch.from_numpy(u[first:])                                                    # (count + lags - 1,)
    x = driven.unfold(0, lags, 1)[:count, :, None]                                          # (count, lags, 1)
    answers = torch.from_numpy(y[first + lags : first + lags + count])
    what = f"narma10:count={count},lags={lags},seed={seed}"
    return Source("narma10", x, answers, "real", {"kind": "named", "what": what}, fingerprint.of(driven, answers),
                  times=torch.arange(count, dtype=torch.float64), target_names=("answer",))
