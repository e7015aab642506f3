"""Maps over pictures, a value for each pixel, and the part of them that a net answers for.

Nets whose convolutions do not pad, and nets that read a patch to label its middle, answer for fewer pixels than they read: Mnih & Hinton
(2010), https://doi.org/10.1007/978-3-642-15567-3_16; Ronneberger, Fischer & Brox (2015), https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from chainrule.core.errors import InputError


def central(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The central (..., h, w) of maps (..., height, width), where what is left over is odd a pixel more below and right.

    Raises InputError where the maps are smaller.

    >>> import torch
    >>> central(torch.arange(16).view(4, 4), (2, 2)).tolist()
    [[5, 6], [9, 10]]
    """
    (height, width), (h, w) = maps.shape[-2:], size
    if h > height or w > width:
        raise InputError(f"expected a net to answer for at most the {height} x {width} pixels of a map; got {h} x {w}. Give one that keeps "
                         "or shrinks its pictures.")
    top, left = (height - h) // 2, (width - w) // 2
    return maps[..., top : top + h, left : left + w]
