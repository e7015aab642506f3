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
    """The windows (n, t) of a part in their order, cut into `lanes` of neighbouring windows: batch k holds the k-th window of each lane.

    Every epoch reads the same batches; `fresh` is true in the first batch of each, where all lanes begin. Windows left over at the end of
    the part, fewer than there are lanes, are not read. Raises InputError where windows do not follow one another in the source, or are
    fewer than the lanes.
    """

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, lanes: int, seed: int = 0, device: torch.device | str = "cpu"):
        if not 1 <= lanes <= len(part):
            raise InputError(f"a sequence cut into {lanes} lanes needs at least one window for each; got {len(part)} windows. Give "
                             "more text, or a smaller window.")
        if not bool((part.rows.diff() == 1).all()):
            raise InputError("state is carried from each row to the next one of the source, and some rows between these are left out or "
                             "there twice. Leave out --bootstrap, --fold and other choices of rows, or use --rule backprop.")
        super().__init__(part, ready, batch=lanes, seed=seed, device=device)
        self.full, self.tail = len(part) // lanes, 0

    def _of(self, part: Part) -> Lanes:
        return Lanes(part, identity, lanes=self.batch, seed=self.seed, device=self.device)

    def order(self, epoch: int) -> Tensor:
        """The windows in the order an epoch reads them, (lanes * length,): the k-th of every lane, then the next of every lane."""
        return torch.arange(self.batch * self.full).reshape(self.batch, self.full).T.reshape(-1)

    def some(self, count: int) -> Batch:
        """The first batch, in which all lanes begin: no other number of rows goes with the state that they carry."""
        return next(self.chunks(0, 0, 1))[0]

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        at = start
        for chunk in super().chunks(epoch, start, size):
            k = len(chunk)
            fresh = torch.zeros(k, self.batch, dtype=torch.bool, device=self.device)
            if at == 0:
                fresh[0] = True
            at += k
            yield Batch(chunk.x, chunk.y, chunk.weight, chunk.mask, fresh)
