"""Boxes in pictures, with a class each, and their arithmetic: areas, what two share of what they cover, and how far apart they are.

Everingham, Van Gool, Williams, Winn & Zisserman (2010), https://doi.org/10.1007/s11263-009-0275-4 (intersection over union); Rezatofighi,
Tsoi, Gwak, Sadeghian, Reid & Savarese (2019), https://arxiv.org/abs/1902.09630 (its generalisation)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Boxes(NamedTuple):
    """The boxes of n pictures, up to k in each: `corners` (n, k, 4) are left, top, right and bottom edges, `labels` (n, k) class numbers.

    Edges are in pixels from the left and upper edge of the picture, so that the first pixel reaches from 0 to 1. A label of -1 says that
    there is no box: pictures may hold fewer than k.
    """

    corners: Tensor
    labels: Tensor


def areas(corners: Tensor) -> Tensor:
    """Areas (...) of boxes (..., 4); 0 of one whose edges are in the wrong order."""
    sides: Tensor = (corners[..., 2:] - corners[..., :2]).clamp(min=0)
    return sides.prod(-1)


def shared(a: Tensor, b: Tensor) -> Tensor:
    """The areas (...) that boxes (..., 4) have in common, one by one; shapes broadcast."""
    return areas(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], -1))


def intersection_over_union(a: Tensor, b: Tensor) -> Tensor:
    """What boxes (..., 4) share of what they cover together, one by one, from 0 to 1 (...); shapes broadcast.

    >>> intersection_over_union(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 0.0, 3.0, 2.0])).item()
    0.3333333432674408
    """
    common = shared(a, b)
    covered = areas(a) + areas(b) - common
    return common / covered.clamp(min=torch.finfo(covered.dtype).tiny)


def generalised(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union less the share of the smallest box around both that neither covers, from -1 to 1 (...).

    Unlike the plain one it has a slope where two boxes are apart.
    """
    common = shared(a, b)
    covered = areas(a) + areas(b) - common
    around = areas(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1))
    tiny = torch.finfo(covered.dtype).tiny
    return common / covered.clamp(min=tiny) - (around - covered) / around.clamp(min=tiny)
