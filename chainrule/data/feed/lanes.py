"""Lanes of a long sequence: windows of it in parallel, each lane going on where it left off, as truncated back-propagation reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part


class Lanes(Feed):
    """The windows (n, t) of a part in their order, cut into `batch` lanes of neighbouring windows: batch k holds the k-th window of each.

    Every epoch reads the same batches; `fresh` is true in its first, where all lanes begin. Windows left over at the end of the part,
    fewer than there are lanes, are not read. Raises InputError where there are fewer windows than lanes.
    """

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, batch: int, seed: int = 0, device: torch.device | str = "cpu"):
        lanes = min(batch, len(part))
        if lanes < 1:
            raise InputError(f"a sequence cut into lanes needs at least one window for each; got {len(part)} windows. Give more text, or a "
                             "smaller window.")
        super().__init__(part, ready, batch=lanes, seed=seed, device=device)
        self.full, self.tail = len(part) // lanes, 0

    def _of(self, part: Part) -> Lanes:
        return Lanes(part, identity, batch=self.batch, seed=self.seed, device=self.device)

    def order(self, epoch: int) -> Tensor:
        """The windows in the order an epoch reads them, (lanes * length,): the k-th of every lane, then the next of every lane."""
        return torch.arange(self.batch * self.full).reshape(self.batch, self.full).T.reshape(-1)

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        at = start
        for chunk in super().chunks(epoch, start, size):
            k = len(chunk)
            fresh = torch.zeros(k, self.batch, dtype=torch.bool, device=self.device)
            if at == 0:
                fresh[0] = True
            at += k
            yield Batch(chunk.x, chunk.y, chunk.weight, chunk.mask, fresh)
