"""Pixels as shares of their maximum, and their channels of mean 0 and deviation 1: statistics of training rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.data.encode.moments import scaling


def scale_of_channels(x: Any, rows: Tensor, maximum: float, flatten: bool) -> Tensor:
    """Centre and factor of the channels of pixels (n, ...) as shares of their maximum: (2, c, 1, 1), or (2, d) of flat rows.

    Pixels that are not (channels, height, width) are one channel.
    """
    shape = tuple(x.shape[1:])
    channels = shape[0] if len(shape) == 3 else 1
    counts = torch.zeros(channels, 256, dtype=torch.float64)
    for part in rows.split(8192):
        for count, pixels in zip(counts, x[part].reshape(len(part), channels, -1).unbind(1), strict=True):
            count += torch.bincount(pixels.flatten().long(), minlength=256)
    share, level = counts / counts.sum(1, keepdim=True), torch.arange(256, dtype=torch.float64) / maximum
    mean = share @ level                                                                         # (c,)
    deviation = ((level - mean[:, None]).square() * share).sum(1).sqrt()
    scale = torch.stack(scaling(mean, deviation)).view(2, channels, *[1] * (len(shape) - 1))
    return scale.expand(2, *shape).reshape(2, -1) if flatten else scale


def maximum_of(x: Any, rows: Tensor) -> float:
    """The largest value a pixel can have: 255, unless the training rows stay in the lower half; then their own largest."""
    most = max(int(x[part].max()) for part in rows.split(8192))
    return 255.0 if most > 127 else float(max(most, 1))
