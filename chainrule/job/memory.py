"""What a net would take in memory, added up before it is made."""

from __future__ import annotations

import math
from typing import Any

import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen
from chainrule.data.memory import free_memory

COPIES = 5  # of every weight while a net trains: itself, its slope, two moments, the best so far
BYTES = 4
TOO_MANY = ("overflow", "Overflow", "too large", "too big")       # how torch says that a size is beyond 64 bits


def check_memory(net: Chosen[Any], inputs: tuple[int, ...], outputs: int) -> None:
    """Raises InputError where the weights of a net, and what training holds beside them, exceed the free memory. Nothing is allocated."""
    try:
        with torch.device("meta"):
            weights = sum(p.numel() for p in net.make(inputs, outputs).parameters())
    except (RuntimeError, NotImplementedError, OverflowError, MemoryError, ValueError, TypeError) as error:
        if not any(word in str(error) for word in TOO_MANY):     # a net whose beginning looks at numbers cannot be made without memory
            return
        raise InputError(f"{net} for inputs of {' x '.join(map(str, inputs))} has more weights than can be counted. Take a smaller "
                         "net.") from None
    wanted, free = weights * BYTES * COPIES, free_memory()
    if wanted > free:
        shrink = f" Bring the pictures to a smaller size, e.g. --resize {_smaller(inputs)}, or take" if len(inputs) == 3 else " Take"
        raise InputError(f"{net} for inputs of {' x '.join(map(str, inputs))} has {weights:,} weights; training holds {COPIES} numbers for "
                         f"each, {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.{shrink} a smaller net.")


def _smaller(inputs: tuple[int, ...]) -> str:
    """Height by width of about 64 x 64 pixels, in the proportions of the inputs."""
    shrink = 64 / math.sqrt(inputs[1] * inputs[2])
    return f"{max(1, round(inputs[1] * shrink))}x{max(1, round(inputs[2] * shrink))}"
