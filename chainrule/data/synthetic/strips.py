"""Strips of several handwritten digits in a row, made of single ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers import catalog
from chainrule.data.readers.download import folders, to_stderr
from chainrule.data.readers.embedded import digits as embedded
from chainrule.data.source import Source

TEST_SHARE = 0.25
CLOSEST = 0.86           # of a digit's width, how near the middles of two neighbours may be; at most a width


@datasets("strips", source="Matan, Burges, LeCun & Denker (1992), NIPS 4:488; digits of LeCun et al. (1998), "
                           "https://doi.org/10.1109/5.726791")
def strips(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 2000, digits: int = 5,
           fewest: int | None = None, source: Literal["auto", "mnist", "digits"] = "auto", seed: int = 0) -> Source:
    """Handwritten digits in a row, not evenly spaced, with the class of each; the last quarter tests and is made of digits apart.

    They are MNIST's where it is at hand, those of its test part in the test part, else the embedded ones, with the values that these have,
    so that a net trained on single ones reads them. With `fewest` strips have any number of digits from that on, to be read as
    strings. Raises InputError for options that allow no strip.
    """
    if count < 4 or digits < 1:
        raise InputError(f"strips expects count of at least 4 and digits of at least 1; got count={count}, digits={digits}. Write e.g. "
                         "strips:count=2000.")
    if fewest is not None and not 1 <= fewest <= digits:
        raise InputError(f"strips expects fewest from 1 to digits; got fewest={fewest}, digits={digits}. Write e.g. strips:fewest=1.")
    chosen = source if source != "auto" else "mnist" if _at_hand(data_dir) else "digits"
    single = catalog.mnist(data_dir, say) if chosen == "mnist" else embedded()
    x, test = single.inputs[:, 0].numpy(), _marked(single)
    tests = max(1, round(TEST_SHARE * count))
    drawn = [_one(np.random.default_rng([seed, number]), x, digits, fewest, np.flatnonzero(test if number >= count - tests else ~test))
             for number in range(count)]
    pictures = torch.from_numpy(np.stack([picture for picture, _ in drawn]))[:, None]
    rows = torch.from_numpy(np.stack([np.pad(rows, (0, digits - len(rows)), constant_values=-1) for _, rows in drawn]))
    y = torch.where(rows < 0, -1, single.targets[rows])                                               # (count, digits)
    several = "" if fewest is None else f"fewest={fewest},"
    what = f"strips:count={count},digits={digits},{several}source={chosen},seed={seed}"
    return Source("strips", pictures, y, "steps" if fewest is None else "labels", {"kind": "named", "what": what},
                  fingerprint.of(pictures, y, single.classes), single.classes, {"test": torch.arange(count - tests, count)})


def _at_hand(data_dir: str | Path | None) -> bool:
    """Whether MNIST need not be downloaded."""
    return any(catalog.holds(folder, "mnist") for folder in folders("mnist", (), data_dir))


def _marked(single: Source) -> np.ndarray:
    """Which digits (n,) the test part is made of: those of the set's own test part, else every fifth."""
    marks = np.zeros(len(single), bool)
    rows: Tensor = single.parts.get("test", torch.arange(0, len(single), 5))
    marks[rows.numpy()] = True
    return marks


def _one(random: np.random.Generator, x: np.ndarray, digits: int, fewest: int | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A strip (side, digits * side), and which digits it is made of: `digits` of them, or any number from `fewest` to that."""
    side, wide = x.shape[-1], digits * x.shape[-1]
    digits = digits if fewest is None else int(random.integers(fewest, digits + 1))
    chosen = rows[random.integers(len(rows), size=digits)]
    steps = random.integers(round(CLOSEST * side), side + 1, size=digits - 1)
    begins = np.concatenate([[0], np.cumsum(steps)])
    begins += random.integers(0, digits * side - begins[-1] - side + 1)
    strip = np.zeros((side, wide), x.dtype)
    for begin, row in zip(begins, chosen, strict=True):
        place = strip[:, begin : begin + side]
        np.maximum(place, x[row], out=place)
    return strip, chosen
