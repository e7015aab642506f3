"""Which device a job runs on."""

from __future__ import annotations

import torch

from chainrule.core.errors import InputError


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU. Raises InputError where the machine lacks what was asked for."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    if name not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device is auto, cpu, cuda or mps; got '{name}'.")
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not torch.backends.mps.is_available()):
        raise InputError(f"--device {name} is not on this machine. Use --device cpu, or leave it out.")
    return torch.device(name)
