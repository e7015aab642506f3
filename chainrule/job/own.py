"""What a caller gives of their own, beside the names that options are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from chainrule.core.duplicate import duplicate


@dataclass(frozen=True)
class Own:
    """What exists only in the program's memory: a module, a loss of (outputs, targets), a weight for each row of the source (n,)."""

    net: nn.Module | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    weights: Tensor | None = None

    def copied(self) -> Own:
        """The same with a module of its own, so that training one leaves the other as it was."""
        return replace(self, net=None if self.net is None else duplicate(self.net))

    def record(self) -> dict[str, bool]:
        """What `run.json` says of it: whether there was such a thing, which must then be given again."""
        return {"own_net": self.net is not None, "own_loss": self.loss is not None, "own_weights": self.weights is not None}


NOTHING = Own()
