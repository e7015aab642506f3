"""Pictures, and what an alteration should make of them one by one."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from chainrule.data.augment import augmentation

SHAPE = (2, 9, 12)


def pictures(n=5, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)) + 0.1     # nothing is zero that was not made so


def altered(spec, x, seed=0):
    torch.manual_seed(seed)
    return augmentation(spec, tuple(x.shape[1:]))(x)


def moved(picture, down, right, mode):
    """One picture, padded and cut: (c, h, w)."""
    most = max(abs(down), abs(right))
    padded = np.pad(picture, ((0, 0), (most, most), (most, most)), mode=mode)
    _, h, w = picture.shape
    return padded[:, most - down : most - down + h, most - right : most - right + w]


def shifts(most, mode="constant"):
    places = list(itertools.product(range(-most, most + 1), repeat=2))
    return lambda x: [moved(x, down, right, mode) for down, right in places]
