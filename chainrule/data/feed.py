"""The feed: one part of the data on the device, handed out in shuffled chunks of batches, never sample by sample.

The order of samples is a function of seed and epoch alone, so a run that stops anywhere can go on exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.rule import Batch
from chainrule.data.source import Part

CHUNK_BYTES = 16 * 2**20


class Feed:
    """Batches of one part. Full batches come first; what is left over forms a last, smaller batch.

    A single left-over sample joins the batch before it, because statistics over one sample do not exist. With
    `everything` each epoch is one batch of all rows in their own order; with `one_hot` class numbers come as rows of so many.
    """

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, batch: int, seed: int = 0,
                 device: torch.device | str = "cpu", everything: bool = False, one_hot: int = 0):
        if batch < 1:
            raise InputError(f"--batch must be at least 1; got {batch}. Leave it out to have one chosen.")
        self.part, self.ready, self.seed, self.device = part, ready, seed, torch.device(device)
        self.x = part.x.to(self.device)
        self.y = None if part.y is None else part.y.to(self.device)
        self.weight = None if part.weight is None else part.weight.to(self.device)
        self.everything, self.one_hot = everything, one_hot
        self.batch = len(part) if everything else min(batch, len(part))
        self.full, left = divmod(len(part), self.batch)
        self.tail = left
        if left == 1 and self.batch > 1:
            self.full, self.tail = self.full - 1, self.batch + 1

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return self.full + (self.tail > 0)

    def order(self, epoch: int) -> Tensor:
        """The rows of this part in the order epoch `epoch` reads them, (n,)."""
        if self.everything:
            return torch.arange(len(self.part))
        digest = hashlib.sha256(f"{self.seed}/{epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        return torch.randperm(len(self.part), generator=generator)

    def rows(self, epoch: int, batch: int) -> Tensor:
        """The rows of the source that batch number `batch` of an epoch holds, (batch,)."""
        begin = batch * self.batch
        end = begin + (self.batch if batch < self.full else self.tail)
        return self.part.rows[self.order(epoch)[begin:end]]

    def longest_chunk(self) -> int:
        """How many batches may be gathered at once within the memory set aside for a chunk."""
        one = self.ready(self.x[:1])
        row = max(1, one.numel() * max(one.element_size(), 4))
        return max(1, CHUNK_BYTES // (row * self.batch))

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        """Batches from number `start` on, stacked (k, batch, ...) with k <= size; chunks start at multiples of `size`."""
        order = self.order(epoch).to(self.device)
        at = start
        while at < self.full:
            k = min(size - at % size, self.full - at)
            yield self._gather(order[at * self.batch : (at + k) * self.batch], k)
            at += k
        if self.tail and at == self.full:
            yield self._gather(order[self.full * self.batch :], 1)

    def _gather(self, rows: Tensor, k: int) -> Batch:
        def take(t: Tensor | None, convert: Callable[[Tensor], Tensor] | None = None) -> Tensor | None:
            if t is None:
                return None
            taken = t if self.everything else t.index_select(0, rows)
            return (convert(taken) if convert else taken).unflatten(0, (k, -1))

        x = take(self.x, self.ready)
        assert x is not None
        return Batch(x, take(self.y, self._spread if self.one_hot else None), take(self.weight))

    def _spread(self, y: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(y, self.one_hot).float()
