"""Points about centres: eight on a ring, as generators are tried on, and clouds about random places.

Metz, Poole, Pfau & Sohl-Dickstein (2017), https://arxiv.org/abs/1611.02163, section 3.2
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

MODES, RADIUS, DEVIATION = 8, 2.0, 0.02
APART = 10.0       # the side of the square in which centres of clouds lie


@datasets("ring8", source="Metz, Poole, Pfau & Sohl-Dickstein (2017), https://arxiv.org/abs/1611.02163, section 3.2")
def ring8(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 8000, radius: float = RADIUS,
          deviation: float = DEVIATION, seed: int = 0) -> Source:
    """Points (n, 2) about eight places on a ring, normal with this deviation; which place is the class.

    Raises InputError for few rows.
    """
    if count < 8 * MODES or radius <= 0 or deviation <= 0:
        raise InputError(f"ring8 expects count of at least {8 * MODES}, and a radius and a deviation above 0; got count={count}, "
                         f"radius={radius}, deviation={deviation}. Write e.g. ring8:count=8000,deviation=0.02.")
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % MODES
    x = ring_centres(radius)[y] + deviation * torch.randn(count, 2, generator=random, dtype=torch.float64)
    names = tuple(f"mode {k}" for k in range(1, MODES + 1))
    what = f"ring8:count={count},radius={radius},deviation={deviation},seed={seed}"
    rows = x.float()
    return Source("ring8", rows, y, "class", {"kind": "named", "what": what}, fingerprint.of(rows, y, names), names)


def ring_centres(radius: float = RADIUS) -> Tensor:
    """The eight places (8, 2)."""
    turn = torch.arange(MODES, dtype=torch.float64) * (2 * math.pi / MODES)
    return radius * torch.stack([turn.cos(), turn.sin()], 1)


@datasets("blobs", source="Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html")
def blobs(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 1000, centres: int = 5,
          features: int = 2, deviation: float = 0.6, seed: int = 0) -> Source:
    """Points (n, features), normal with this deviation about centres drawn evenly in a box of side 10; which centre is the class."""
    if count < 8 * centres or centres < 2 or features < 1 or deviation <= 0:
        raise InputError(f"blobs expects at least 2 centres, 8 rows for each, one feature and a deviation above 0; got count={count}, "
                         f"centres={centres}, features={features}, deviation={deviation}. Write e.g. blobs:count=1000,centres=5.")
    random = torch.Generator().manual_seed(seed)
    places = APART * torch.rand(centres, features, generator=random, dtype=torch.float64)
    y = torch.arange(count) % centres
    rows = (places[y] + deviation * torch.randn(count, features, generator=random, dtype=torch.float64)).float()
    names = tuple(f"blob {k}" for k in range(1, centres + 1))
    what = f"blobs:count={count},centres={centres},features={features},deviation={deviation},seed={seed}"
    return Source("blobs", rows, y, "class", {"kind": "named", "what": what}, fingerprint.of(rows, y, names), names)
