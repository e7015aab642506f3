"""Pictures in the log of a run: a few small ones, as numbers that a line of text can hold."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MOST_PICTURES = 20
MOST_BYTES = 2**16       # of one sheet


def room_for(shape: tuple[int, ...]) -> int:
    """How many pictures (channels, height, width) of that shape a sheet holds; none of very large ones."""
    return min(MOST_PICTURES, MOST_BYTES // math.prod(shape))


def packed(pictures: Tensor) -> dict[str, Any]:
    """Pictures (n, channels, height, width) as a record of text, each number one of 256 between the least and the greatest of them, or
    between 0 and 1 where all lie there."""
    real = pictures.detach().cpu().double().nan_to_num(0.0, 0.0, 0.0)
    low, high = float(real.min()), float(real.max())
    if low < 0 or high > 1:
        real = (real - low) / max(high - low, 1e-12)
    numbers = (255 * real).round().to(torch.uint8).contiguous()
    return {"shape": list(numbers.shape), "pixels": base64.b64encode(numbers.numpy().tobytes()).decode("ascii")}


def unpacked(sheet: Mapping[str, Any]) -> Tensor:
    """The pictures (n, channels, height, width) of a record, uint8."""
    numbers = torch.frombuffer(bytearray(base64.b64decode(sheet["pixels"])), dtype=torch.uint8)
    return numbers.reshape(tuple(sheet["shape"]))
