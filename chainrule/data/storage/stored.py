"""Tables and arrays that stay on disk, and the inputs of a part read from them as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.data.column_names import place
from chainrule.data.encode.columns import Column, Kind, Table
from chainrule.data.feed.prefetch import ahead
from chainrule.data.storage.blocks import Blocks

READ_BYTES = 2**23  # encoded at once, where a part is read from end to end


@dataclass(frozen=True)
class StoredColumn:
    """A column of a StoredTable: all but its values."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


class StoredTable:
    """A table in blocks: what a Table says of itself, rows on request."""

    def __init__(self, blocks: Blocks, columns: Iterable[StoredColumn]):
        self.blocks, self.columns = blocks, tuple(columns)

    def __len__(self) -> int:
        return self.blocks.n

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def __getitem__(self, name: str) -> Column:
        """All values of a column, in memory."""
        one = self.only([name])
        return _column(one.columns[0], torch.cat([t.columns[0].values for t in one.pieces(torch.arange(len(self)))]))

    def find(self, name: str | int, where: str, option: str) -> Column:
        """The column called `name`, or numbered so from 0. Raises InputError offering the nearest."""
        return self[self.names[place(self.names, name, where, option)]]

    def only(self, names: Iterable[str]) -> StoredTable:
        chosen = set(names)
        return StoredTable(self.blocks, [c for c in self.columns if c.name in chosen])

    def without(self, names: Iterable[str]) -> StoredTable:
        gone = set(names)
        return StoredTable(self.blocks, [c for c in self.columns if c.name not in gone])

    def read(self, rows: np.ndarray) -> Table:
        """Ascending rows, few enough for memory."""
        values = self.blocks.take(rows, self.names)
        return Table(tuple(_column(c, torch.from_numpy(values[c.name])) for c in self.columns))

    def pieces(self, rows: Tensor) -> Iterator[Table]:
        """Ascending rows, a few thousand at a time, read ahead."""
        wanted = rows.numpy()
        return ahead((self.read(wanted[a:b]) for a, b in self.blocks.pieces(wanted)), str(self.blocks.path))


def _column(like: StoredColumn, values: Tensor) -> Column:
    return Column(like.name, like.kind, values.double() if values.is_floating_point() else values.long(), like.categories)


class StoredArray:
    """Rows of numbers (n, ...) in blocks of one field; `decode` makes stored rows what a Source holds."""

    def __init__(self, blocks: Blocks, decode: Callable[[np.ndarray], Tensor] = torch.from_numpy):
        self.blocks, self.decode = blocks, decode
        few = self.read(np.arange(min(1, blocks.n)))
        self.shape, self.dtype = torch.Size((blocks.n, *few.shape[1:])), few.dtype

    def __len__(self) -> int:
        return self.blocks.n

    def dim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Any) -> Tensor:
        return Streamed(self, None, lambda x: x)[index]

    def read(self, rows: np.ndarray) -> Tensor:
        """Ascending rows, few enough for memory."""
        return self.decode(self.blocks.take(rows)[self.blocks.fields[0].name])

    def pieces(self, rows: Tensor) -> Iterator[Tensor]:
        """Ascending rows, a few megabytes at a time, read ahead."""
        wanted = rows.numpy()
        return ahead((self.read(wanted[a:b]) for a, b in self.blocks.pieces(wanted)), str(self.blocks.path))


class Streamed:
    """The inputs of a part as they would be stored, (n, ...), each read and encoded when it is asked for.

    `rows` are row numbers of the source, (n,), or None for all. Indexing by a slice, a list or a tensor of positions gives a Tensor.
    """

    def __init__(self, stored: StoredTable | StoredArray, rows: Tensor | None, encode: Callable[[Any], Tensor]):
        self.stored, self.encode = stored, encode
        self.rows = torch.arange(len(stored)) if rows is None else rows
        few = encode(stored.read(np.arange(min(1, len(stored)))))
        self.shape, self.dtype = torch.Size((len(self.rows), *few.shape[1:])), few.dtype
        self.row_bytes = max(1, few.numel() * few.element_size())

    def __len__(self) -> int:
        return len(self.rows)

    def dim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What all of it would take in memory."""
        return self.row_bytes * len(self)

    def __getitem__(self, index: Any) -> Tensor:
        wanted = self.rows[index]
        rows, back = wanted.sort()
        out = torch.empty(len(rows), *self.shape[1:], dtype=self.dtype)
        for a, b in self.stored.blocks.pieces(rows.numpy()):
            out[back[a:b]] = self.encode(self.stored.read(rows[a:b].numpy()))
        return out

    def split(self, size: int) -> Iterator[Tensor]:
        """All of it, `size` rows at a time in their order, read ahead; of no rows one empty tensor, as of a Tensor."""
        if not len(self):
            yield self[:0]
            return
        step = size * max(1, READ_BYTES // (self.row_bytes * size))
        for many in ahead((self[at : at + step] for at in range(0, len(self), step)), str(self.stored.blocks.path)):
            yield from many.split(size)
