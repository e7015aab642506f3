"""Batches of sequences of like length, each cut to the longest of its own: what fills up the others is not counted.

Length bucketing: Khomenko, Shyshkov, Radyvonenko & Bokhan (2016), https://doi.org/10.1109/DSMP.2016.7583516
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.data.feed.prefetch import ahead
from chainrule.data.feed.shuffled import Feed, generator
from chainrule.data.source import Part

TOGETHER = 10      # batches of one width that follow one another, so that programs of several steps have as many


class Buckets(Feed):
    """Batches of a part of sequences (n, t, ...), in an order that follows from seed and epoch alone.

    The lengths (n,) are divided into so many `buckets` with as many rows in each; a batch holds rows of one, but where one ends, and is
    as wide as the longest row that its buckets can have. Rows are shuffled within their bucket, and batches among themselves, in groups
    of neighbours. What is left over at the end of an epoch is drawn from all rows and comes last. `stepwise` targets (n, t) are cut like
    the inputs; a mask always is. Raises InputError for fewer than two buckets, and lengths that are not of these rows.
    """

    uniform = False

    def __init__(self, part: Part, ready: Callable[[Tensor], Tensor], *, lengths: Tensor, buckets: int, stepwise: bool = False, batch: int,
                 seed: int = 0, device: torch.device | str = "cpu", one_hot: int = 0):
        if buckets < 2:
            raise InputError(f"--buckets must be at least 2; got {buckets}. Leave it out for batches of all lengths.")
        super().__init__(part, ready, batch=batch, seed=seed, device=device, one_hot=one_hot)
        if lengths.shape != (len(part),) or int(lengths.amin()) < 1 or int(lengths.amax()) > part.x.shape[1]:
            raise InputError(f"expected a length from 1 to {part.x.shape[1]} for each of {len(part)} rows; got {tuple(lengths.shape)}, "
                             f"from {int(lengths.amin())} to {int(lengths.amax())}. Give those of the part.")
        ends = torch.arange(1, buckets + 1) * len(part) // buckets - 1
        bounds = lengths.sort().values[ends.clamp(min=0)].unique()                          # (up to buckets,), the longest row last
        self.widths = bounds[torch.searchsorted(bounds, lengths)]                           # (n,): the longest of each row's bucket
        self.stepwise = stepwise

    @property
    def saved(self) -> float:
        """The share of all steps of an epoch, those that fill up among them, that is cut off, of full batches of one bucket each."""
        return 1 - float(self.widths.double().mean()) / int(self.part.x.shape[1])

    def _of(self, part: Part) -> Feed:
        return Feed(part, identity, batch=self.batch, seed=self.seed, device=self.device, one_hot=self.one_hot)

    def order(self, epoch: int) -> Tensor:
        """The rows in the order an epoch reads them, (n,)."""
        shuffled = super().order(epoch)
        count = self.full * self.batch
        full, rest = shuffled[:count], shuffled[count:]
        batches = full[self.widths[full].argsort(stable=True)].reshape(self.full, self.batch)
        groups = [group for alike in self._alike(batches) for group in alike.split(TOGETHER)]
        mixed = torch.randperm(len(groups), generator=generator(self.seed, epoch, len(groups)))
        return torch.cat([*(groups[k].reshape(-1) for k in mixed.tolist()), rest])

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Batch]:
        """Batches from number `start` on, stacked (k, batch, ...) with k <= size: as many as are of one width and end no later than at the
        next multiple of `size`."""
        order = self.order(epoch)
        widths = self.widths[order[: self.full * self.batch]].reshape(self.full, self.batch).amax(1).tolist() if self.full else []
        rows = order.to(self.device)

        def gathered() -> Iterator[Batch]:
            at = start
            while at < self.full:
                end = min(at + size - at % size, self.full)
                k = next((j for j in range(at, end) if widths[j] != widths[at]), end) - at
                yield self._cut(rows[at * self.batch : (at + k) * self.batch], widths[at], k)
                at += k
            if self.tail and at == self.full:
                last = order[self.full * self.batch :]
                yield self._cut(rows[self.full * self.batch :], int(self.widths[last].amax()), 1)

        return ahead(gathered(), "the rows of a batch") if self._worth_a_thread(start, size) else gathered()

    def _alike(self, batches: Tensor) -> Iterator[Tensor]:
        """Batches (k, batch) that follow one another in the order of their widths, those of one width together."""
        widths = self.widths[batches].amax(1)
        for width in widths.unique():
            yield batches[widths == width]

    def _cut(self, rows: Tensor, width: int, k: int) -> Batch:
        whole = Batch(self.x, self.y, self.weight, self.mask).map(lambda t: t.index_select(0, rows))
        y = whole.y[:, :width] if self.stepwise and whole.y is not None else whole.y
        mask = None if whole.mask is None else whole.mask[:, :width]
        return self._as_read(Batch(self.ready(whole.x[:, :width]), y, whole.weight, mask), k)


def lengths_of(x: Tensor, filler: int | None) -> Tensor:
    """The steps (n,) of stored sequences, at least one each: of codes (n, t) up to the last that is no `filler`; of numbers (n, t, d) up to
    the last row that is not missing throughout."""
    exists = x != filler if filler is not None else ~x.isnan().all(2)                       # (n, t)
    return (exists * torch.arange(1, x.shape[1] + 1, device=x.device)).amax(1).clamp(min=1).cpu()
