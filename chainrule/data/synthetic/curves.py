"""Pictures of curves through three random points, on which deep autoencoders are tried: six numbers say all that is in one.

Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.readers.download import to_stderr
from chainrule.data.source import Source

SIDE, EDGE, INK = 28, 3.0, 0.8      # pixels; control points keep EDGE from the border; half the width of a line
PLACES = 48                         # along a curve
TEST_SHARE = 1 / 3                  # 20,000 pictures to learn from and 10,000 to test on, as published
BLOCK = 250                         # pictures drawn at once


@datasets("curves", source="Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647")
def curves(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr, *, count: int = 3000, seed: int = 0) -> Source:
    """Pictures of 28 x 28 pixels of curves, each with three control points drawn evenly over the middle; the last third is for tests.

    Nothing is asked of them. The published set has 30,000 and is drawn by another pen. Raises InputError for few pictures.
    """
    if count < 9:
        raise InputError(f"curves expects count to be at least 9; got {count}. Write e.g. curves:count=3000.")
    pictures = (255 * drawn(count, seed)).round().to(torch.uint8).reshape(count, 1, SIDE, SIDE)
    parts = {"test": torch.arange(count - round(TEST_SHARE * count), count)}
    origin = {"kind": "named", "what": f"curves:count={count},seed={seed}"}
    return Source("curves", pictures, None, "none", origin, fingerprint.of(pictures, None, ()), parts=parts)


def drawn(n: int, seed: int) -> Tensor:
    """Pictures (n, 784) in [0, 1] of quadratic Bezier curves, each with three control points drawn evenly over the middle of the square."""
    random = torch.Generator().manual_seed(seed)
    points = EDGE + (SIDE - 1 - 2 * EDGE) * torch.rand(n, 3, 2, generator=random)                 # (n, 3, 2)
    t = torch.linspace(0, 1, PLACES)[:, None]
    blend = torch.cat([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)                                    # (places, 3)
    pixels = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()                  # (784, 2)
    blocks = []
    for some in points.split(BLOCK):
        far = torch.cdist(pixels.expand(len(some), -1, -1), blend @ some).amin(2)                  # (block, 784)
        blocks.append(torch.exp(-0.5 * (far / INK) ** 2))
    return torch.cat(blocks)
