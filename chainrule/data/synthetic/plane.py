"""Points of two classes in the plane that no line parts, or hardly one: spirals, circles, exclusive or, half moons.

Lang & Witbrock (1988), Learning to tell two spirals apart; Minsky & Papert (1969), Perceptrons; Pedregosa et al. (2011),
https://jmlr.org/papers/v12/pedregosa11a.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

LEAST = 20                 # rows
TURNS = 1.75               # of each arm of the spiral, as Lang & Witbrock have it somewhat less than twice round
INNER = 0.5                # the radius of the inner circle


@datasets("spiral", source="Lang & Witbrock (1988), Proc. Connectionist Models Summer School; Fahlman & Lebiere (1990), "
          "https://proceedings.neurips.cc/paper/1989/hash/69adc1e107f7f7d035d7baf04342e1ca-Abstract.html")
def spiral(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 400, noise: float = 0.02,
           seed: int = 0) -> Source:
    """Points (n, 2) on two arms that turn round one another, with normal noise; which arm is the class."""
    _check("spiral", count, noise)
    y = torch.arange(count) % 2
    share = torch.linspace(0.05, 1, -(-count // 2), dtype=torch.float64).repeat_interleave(2)[:count]
    turn = share * TURNS * 2 * math.pi + math.pi * y
    return _source("spiral", torch.stack([turn.cos(), turn.sin()], 1) * share[:, None], y, count, noise, seed)


@datasets("circles", source="Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html")
def circles(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 400, noise: float = 0.1,
            seed: int = 0) -> Source:
    """Points (n, 2) on a circle and on one of half its radius within it, with normal noise; which circle is the class."""
    _check("circles", count, noise)
    y = torch.arange(count) % 2
    turn = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    radius = torch.where(y == 0, 1.0, INNER).double()
    return _source("circles", torch.stack([turn.cos(), turn.sin()], 1) * radius[:, None], y, count, noise, seed)


@datasets("xor", source="Minsky & Papert (1969), Perceptrons, https://doi.org/10.7551/mitpress/11301.001.0001")
def exclusive_or(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 400, noise: float = 0.05,
                 seed: int = 0) -> Source:
    """Points (n, 2) drawn evenly in a square about zero, with normal noise; whether the signs of their numbers differ is the class."""
    _check("xor", count, noise)
    random = torch.Generator().manual_seed(seed + 1)
    x = 2 * torch.rand(count, 2, generator=random, dtype=torch.float64) - 1
    return _source("xor", x, (x[:, 0] * x[:, 1] < 0).long(), count, noise, seed)


@datasets("moons", source="Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html")
def moons(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 400, noise: float = 0.1,
          seed: int = 0) -> Source:
    """Points (n, 2) on two half circles, each reaching into the other, with normal noise; which half circle is the class."""
    _check("moons", count, noise)
    y = torch.arange(count) % 2
    turn = torch.linspace(0, math.pi, -(-count // 2), dtype=torch.float64).repeat_interleave(2)[:count]
    upper, lower = torch.stack([turn.cos(), turn.sin()], 1), torch.stack([1 - turn.cos(), 0.5 - turn.sin()], 1)
    return _source("moons", torch.where(y[:, None] == 0, upper, lower), y, count, noise, seed)


def _check(name: str, count: int, noise: float) -> None:
    if count < LEAST or noise < 0:
        raise InputError(f"{name} expects count of at least {LEAST} and a noise of 0 or more; got count={count}, noise={noise}. "
                         f"Write e.g. {name}:count=400,noise=0.1.")


def _source(name: str, x: Tensor, y: Tensor, count: int, noise: float, seed: int) -> Source:
    random = torch.Generator().manual_seed(seed)
    rows = (x + noise * torch.randn(count, 2, generator=random, dtype=torch.float64)).float()
    names, what = ("first", "second"), f"{name}:count={count},noise={noise},seed={seed}"
    return Source(name, rows, y, "class", {"kind": "named", "what": what}, fingerprint.of(rows, y, names), names)
