"""Noisy series with one event, a cylinder, a bell or a funnel: Saito (1994), PhD thesis, Yale University"""

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

LENGTH = 128             # steps of a series
LEVEL = 6.0              # of an event, plus a normal number
CLASSES = ("bell", "cylinder", "funnel")


@datasets("cylinder-bell-funnel", source="Saito (1994), PhD thesis, Yale University; Wang, Yan & Oates (2017), "
                                         "https://doi.org/10.1109/IJCNN.2017.7966039")
def cylinder_bell_funnel(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, train: int = 30, test: int = 900,
                         seed: int = 0) -> Source:
    """Series (n, 128) of noise with one event from a random step on: a plateau, a slow rise or a slow fall; the last `test` rows test.

    The event begins at a = 16 to 32 and ends 32 to 96 steps later at b; it is (6 + e), times (t - a) / (b - a) for a bell and
    (b - t) / (b - a) for a funnel, with e and the noise of each step standard normal. Classes take turns. Raises InputError for fewer rows
    than classes.
    """
    if min(train, test) < len(CLASSES):
        raise InputError(f"cylinder-bell-funnel expects at least {len(CLASSES)} rows of train and of test; got train={train}, test={test}. "
                         "Write e.g. cylinder-bell-funnel:train=30,test=900.")
    count, t = train + test, np.arange(1, LENGTH + 1)
    rows = np.empty((count, LENGTH), np.float32)
    for number in range(count):
        random = np.random.default_rng([seed, number])
        begin = random.integers(16, 33)
        end = begin + random.integers(32, 97)
        shape = {"cylinder": np.ones(LENGTH), "bell": (t - begin) / (end - begin),
                 "funnel": (end - t) / (end - begin)}[CLASSES[number % len(CLASSES)]]
        rows[number] = (LEVEL + random.normal()) * shape * ((t >= begin) & (t <= end)) + random.normal(size=LENGTH)
    x, y = torch.from_numpy(rows), torch.arange(count) % len(CLASSES)
    what = f"cylinder-bell-funnel:train={train},test={test},seed={seed}"
    return Source("cylinder-bell-funnel", x, y, "class", {"kind": "named", "what": what}, fingerprint.of(x, y, CLASSES), CLASSES,
                  {"test": torch.arange(train, count)})
