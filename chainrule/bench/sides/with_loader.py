"""What the sides have in common that draw their batches by a loader of their own, and have nothing to settle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch


class WithLoader(ABC):
    """A side whose batches are its own loader's choice."""

    def settle(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        """See `Side`."""

    def learn(self, epochs: int) -> bool:
        """As many steps from the same start; which rows a batch has is its loader's own choice."""
        if epochs:
            self.run(epochs, {})
        return not epochs

    def remark(self) -> str:
        return f"{torch.get_num_threads()} threads"
