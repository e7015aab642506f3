"""The feed: one part of the data, handed out in shuffled chunks of batches, never sample by sample.

The order of samples is a function of seed and epoch alone, so a run that stops anywhere can go on exactly. What fits in memory
lies on the device; what does not is read ahead, a window of rows at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import Batch, map_tensors
from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.core.threads import cores
from chainrule.data.feed.prefetch import ahead
from chainrule.data.memory import free_memory
from chainrule.data.source import Part
from chainrule.data.storage.stored import Streamed

CHUNK_BYTES = 16 * 2**20
ENCODED_ROWS = 1000      # that pass at once through the layers below a stage
AHEAD_BYTES = 2**18      # of a chunk: below it, handing it from thread to thread costs more than gathering it
WINDOW_BYTES = 16 * 2**20  # rows mixed in memory: one such window is in use, one waits, one is being read


class Feed:
    """Batches of one part. Full batches come first; what is left over forms a last, smaller batch.

    A single left-over sample joins the batch before it, because statistics over one sample do not exist. With
    `everything` each epoch is one batch of all rows in their own order; with `one_hot` class numbers come as rows of so many.
    """

    uniform = True       # all batches but the last are of one shape

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, batch: int, seed: int = 0,
                 device: torch.device | str = "cpu", everything: bool = False, one_hot: int = 0):
        if batch < 1:
            raise InputError(f"--batch must be at least 1; got {batch}. Leave it out to have one chosen.")
        self.part, self.ready, self.seed, self.device = part, ready, seed, torch.device(device)
        self.x = self._placed(part.x)
        self.y = map_tensors(lambda t: t.to(self.device), part.y)
        self.weight = None if part.weight is None else part.weight.to(self.device)
        self.mask = None if part.mask is None else part.mask.to(self.device)
        self.everything, self.one_hot = everything, one_hot
        self.batch = len(part) if everything else min(batch, len(part))
        self.full, left = divmod(len(part), self.batch)
        self.tail = left
        if left == 1 and self.batch > 1:
            self.full, self.tail = self.full - 1, self.batch + 1

    def _placed(self, x: Any) -> Any:
        return x.to(self.device)

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return self.full + (self.tail > 0)

    def order(self, epoch: int) -> Tensor:
        """The rows of this part in the order epoch `epoch` reads them, (n,)."""
        if self.everything:
            return torch.arange(len(self.part))
        return torch.randperm(len(self.part), generator=generator(self.seed, epoch))

    def rows(self, epoch: int, batch: int) -> Tensor:
        """The rows of the source that batch number `batch` of an epoch holds, (batch,)."""
        begin = batch * self.batch
        return self.part.rows[self._span(epoch, begin, begin + (self.batch if batch < self.full else self.tail))]

    def _span(self, epoch: int, begin: int, end: int) -> Tensor:
        return self.order(epoch)[begin:end]

    def through(self, encode: Callable[[Tensor], Tensor]) -> Feed:
        """A feed of the same rows whose inputs are what `encode` makes of this one's: computed once, by blocks of rows, and in memory.

        Raises InputError where they do not fit.
        """
        parts: list[Tensor] = []
        with torch.no_grad():
            for rows in self.x.split(ENCODED_ROWS):
                parts.append(encode(self.ready(rows.to(self.device))))
                if len(parts) == 1 and (size := parts[0].nbytes * len(self.part) // max(len(rows), 1)) > free_memory():
                    raise InputError(f"what the next layer reads of {len(self.part):,} rows takes {size:,} bytes; {free_memory():,} are "
                                     "free. Use fewer rows or a narrower layer, or train all layers at once.")
        return self._of(replace(self.part, x=torch.cat(parts)))

    def _of(self, part: Part) -> Feed:
        """The feed like this one for a part whose inputs are as they are read."""
        return Feed(part, identity, batch=self.batch, seed=self.seed, device=self.device, everything=self.everything, one_hot=self.one_hot)

    def some(self, count: int) -> Batch:
        """A batch of so many rows, always the same ones, drawn from the whole part; of all rows where each step reads everything."""
        if self.everything:
            return next(self.chunks(0, 0, 1))[0]
        rows = torch.randperm(len(self.part), generator=generator(self.seed, -1))[:count].sort().values
        return self._few(rows)[0]

    def _few(self, rows: Tensor) -> Batch:
        """Rows of the part as a chunk of one batch."""
        return self._gather(rows.to(self.device), 1)

    def longest_chunk(self) -> int:
        """How many batches may be gathered at once within the memory set aside for a chunk.

        At most a quarter of an epoch where that is worth a thread: nothing is computed while the first chunk is gathered.
        """
        one = self.ready(self.x[:1])
        row = max(1, one.numel() * max(one.element_size(), 4))
        longest = max(1, CHUNK_BYTES // (row * self.batch))
        return min(longest, self.full // 4) if self._worth_a_thread(0, self.full // 4) else longest

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        """Batches from number `start` on, stacked (k, batch, ...) with k <= size; chunks start at multiples of `size`."""
        order = self.order(epoch).to(self.device)

        def gathered() -> Iterator[Batch]:
            at = start
            while at < self.full:
                k = min(size - at % size, self.full - at)
                yield self._gather(order[at * self.batch : (at + k) * self.batch], k)
                at += k
            if self.tail and at == self.full:
                yield self._gather(order[self.full * self.batch :], 1)

        return ahead(gathered(), "the rows of a batch") if self._worth_a_thread(start, size) else gathered()

    def _worth_a_thread(self, start: int, size: int) -> bool:
        """Whether there is an idle core to gather the next chunk on. A busy one would hold up the thread that steps wait for."""
        return (self.device.type == "cpu" and not self.everything and self.full - start > size
                and cores() > torch.get_num_threads() and self.x[:1].nbytes * self.batch * size >= AHEAD_BYTES)

    def _gather(self, rows: Tensor, k: int) -> Batch:
        whole = Batch(self.x, self.y, self.weight, self.mask)
        batch = whole if self.everything else whole.map(lambda t: t.index_select(0, rows))
        return self._as_read(batch.with_inputs(self.ready(batch.x)), k)

    def _as_read(self, batch: Batch, k: int) -> Batch:
        """`k` batches, stacked, of these rows, class numbers spread where that was asked for."""
        if self.one_hot and batch.y is not None:
            batch = batch.with_targets(self._spread(batch.y))
        return batch.map(lambda t: t.unflatten(0, (k, -1)))

    def _spread(self, y: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(y, self.one_hot).float()


class StreamedFeed(Feed):
    """Batches of a part whose inputs stay on disk, at constant memory.

    The order is computed without reading anything: blocks of neighbouring rows are permuted, and the rows of so many blocks
    as make `window` bytes are permuted among themselves. The part's rows must ascend, as those of a split do.
    """

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, batch: int, seed: int = 0,
                 device: torch.device | str = "cpu", one_hot: int = 0, window: int = WINDOW_BYTES):
        super().__init__(part, ready, batch=batch, seed=seed, device=device, one_hot=one_hot)
        stored: Streamed = part.x
        edges = torch.arange(stored.stored.blocks.count + 1) * stored.stored.blocks.rows
        begins = torch.searchsorted(part.rows, edges)                      # (blocks + 1,) first position in the part of each block
        sizes = begins.diff()
        self.sizes, self.begins = sizes[sizes > 0], begins[:-1][sizes > 0]  # (blocks that hold a row of the part,)
        rows_in_window = max(1, window // stored.row_bytes)
        self.blocks_in_window = max(1, rows_in_window * len(self.sizes) // max(len(part), 1))

    def _placed(self, x: Any) -> Any:
        return x

    def order(self, epoch: int) -> Tensor:
        return self._span(epoch, 0, len(self.part))

    def _span(self, epoch: int, begin: int, end: int) -> Tensor:
        windows, starts = self._windows(epoch)
        first = int(torch.searchsorted(starts, begin, right=True)) - 1
        spans, at = [torch.empty(0, dtype=torch.int64)], first
        while at < len(windows) and int(starts[at]) < end:
            spans.append(self._mixed(epoch, at, windows[at]))
            at += 1
        skip = begin - int(starts[first])
        return torch.cat(spans)[skip : skip + end - begin]

    def _windows(self, epoch: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """The blocks of each window, and how many samples of the epoch precede it, (windows,)."""
        blocks = torch.randperm(len(self.sizes), generator=generator(self.seed, epoch))
        windows = blocks.split(self.blocks_in_window)
        sizes = torch.stack([self.sizes[w].sum() for w in windows])
        return windows, sizes.cumsum(0) - sizes

    def _mixed(self, epoch: int, at: int, blocks: Tensor) -> Tensor:
        """The positions in the part that window `at` holds, in the order they are read."""
        sizes = self.sizes[blocks]
        inside = torch.arange(int(sizes.sum())) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        positions = self.begins[blocks].repeat_interleave(sizes) + inside
        return positions[torch.randperm(len(positions), generator=generator(self.seed, epoch, at))]

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        windows, starts = self._windows(epoch)
        sample = start * self.batch
        first = max(0, int(torch.searchsorted(starts, sample, right=True)) - 1)

        def read() -> Iterator[tuple[Tensor, Tensor]]:
            for at in range(first, len(windows)):
                positions = self._mixed(epoch, at, windows[at])
                positions = positions[max(0, sample - int(starts[at])) :]
                yield positions, self.x[positions]

        coming = ahead(read(), str(self.part.x.stored.blocks.path))
        positions, x = self.begins[:0], self.x[:0]                        # what is left of the window at hand
        at = start
        try:
            while at < self.batches:
                k = min(size - at % size, self.full - at) if at < self.full else 1
                wanted, taken = (k * self.batch if at < self.full else self.tail), []
                while wanted:
                    if not len(positions):
                        positions, x = next(coming)
                    taken.append((positions[:wanted], x[:wanted]))
                    positions, x = positions[wanted:], x[wanted:]
                    wanted -= len(taken[-1][0])
                yield self._batch(_joined([p for p, _ in taken]), _joined([rows for _, rows in taken]), k)
                at += k
        finally:
            coming.close()

    def _few(self, rows: Tensor) -> Batch:
        return self._batch(rows, self.x[rows], 1)

    def _batch(self, positions: Tensor, x: Tensor, k: int) -> Batch:
        at = positions.to(self.device)
        y, weight, mask = (map_tensors(lambda t: t.index_select(0, at), part) for part in (self.y, self.weight, self.mask))
        return self._as_read(Batch(self.ready(x.to(self.device)), y, weight, mask), k)


def feed_of(part: Part, ready: Callable[[Tensor], Tensor], *, batch: int, seed: int = 0, device: torch.device | str = "cpu",
            everything: bool = False, one_hot: int = 0) -> Feed:
    """The feed for a part, in memory or on disk. Raises InputError where a rule wants everything at once and it does not fit."""
    if isinstance(part.x, Streamed) and not everything:
        return StreamedFeed(part, ready, batch=batch, seed=seed, device=device, one_hot=one_hot)
    if isinstance(part.x, Streamed):
        if part.x.nbytes > free_memory():
            raise InputError(f"this rule reads all {len(part):,} training rows at once, {part.x.nbytes:,} bytes; {free_memory():,} are "
                             "free. Use --rule backprop, which reads a batch at a time, or fewer rows.")
        part = replace(part, x=part.x[:])
    return Feed(part, ready, batch=batch, seed=seed, device=device, everything=everything, one_hot=one_hot)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def generator(*numbers: int) -> torch.Generator:
    """A stream of random numbers that follows from these."""
    digest = hashlib.sha256("/".join(map(str, numbers)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
