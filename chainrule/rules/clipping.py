"""A limit to the length of a gradient. Pascanu, Mikolov & Bengio (2012), https://arxiv.org/abs/1211.5063"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.tree import norm, scale


@torch.no_grad()
def clipped(rule: str, slope: dict[str, Tensor], clip: float) -> dict[str, Tensor]:
    """The gradient, shortened to `clip` where it is longer, over all parameters together.

    Raises InputError, in the name of the `rule`, for a clip that is not above 0. One that every member of a stack has for itself is a
    tensor, and was checked as a number.
    """
    check_clip(rule, clip)
    length = norm(slope)
    shorter: dict[str, Tensor] = scale(slope, torch.where(length > clip, clip / length, torch.ones_like(length)))
    return shorter


def check_clip(rule: str, clip: float) -> None:
    """Raises InputError for a clip that is not above 0."""
    if not isinstance(clip, Tensor) and not clip > 0:
        raise InputError(f"{rule} expects clip, the greatest length of the gradient, to be above 0; got {clip}. Write e.g. {rule}:clip=1.")
