"""What a reader returns, and what training reads: Source (raw, unsplit) and Data (split, encoded, the test part sealed)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from chainrule.core.batch import map_tensors
from chainrule.core.errors import InputError
from chainrule.data.formats import Format
from chainrule.data.row_hashes import row_hashes

# classes, numbers, one of two signs, a class a step, classes in order, a class a pair of steps, a class a pixel, boxes, nothing
TargetKind = Literal["class", "real", "sign", "steps", "labels", "pairs", "maps", "boxes", "none"]


@dataclass(frozen=True)
class Source:
    """Raw rows: `inputs` is a tensor (n, ...), a table or symbols over an alphabet; `targets` one value per row, several (n, k), or None.

    Targets of more structure are a tree of tensors with the rows first: class numbers of pixels (n, h, w), or of pairs of steps, int8
    (n, t, t) with -1 where a pair is not asked for, or `Boxes`. Images are
    `uint8` (n, channels, height, width). `parts` holds row numbers of parts the source itself defines (an official test set);
    `weights` (n,) say how much each row counts in training. What is larger than memory is a StoredTable or StoredArray. `origin` is
    what `load` needs to read it again; `fingerprint` is a SHA-256 of the content. `formats` say how the words of each column of a table
    were read, and `notes` in sentences what of that is not as programs write it. `labels` (n,) by name are not read by a net and tell its
    rows apart: columns left out of further rows of a table, names of files and of sequences. `target_names` say what the
    columns of the targets are called, where they have names.
    """

    name: str
    inputs: Any
    targets: Any
    target_kind: TargetKind
    origin: Mapping[str, Any]
    fingerprint: str
    classes: tuple[str, ...] = ()
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    groups: Any = None
    times: Any = None
    weights: Tensor | None = None
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    target_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Part:
    """Rows of one part: `x` as stored (n, ...), `y` encoded targets or None, `weight` (n,), `rows` (n,) in the source, `mask` (n, t).

    `y` is a tensor (n, ...) or any tree of tensors with the rows first.
    `x` is a Tensor, or Streamed where it stays on disk: both have a length, a shape, slices, rows by position and `split`.
    """

    x: Any
    y: Any
    rows: Tensor
    weight: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows_at(self, begin: int, end: int) -> Part:
        """The rows from place `begin` up to `end` of the part."""
        weight, mask = (None if t is None else t[begin:end] for t in (self.weight, self.mask))
        return Part(self.x[begin:end], map_tensors(lambda t: t[begin:end], self.y), self.rows[begin:end], weight, mask)


@dataclass(frozen=True)
class Opening:
    """How often a test part has been opened by now, and what is to be said of the openings before."""

    count: int
    notes: tuple[str, ...] = ()


class Door:
    """The only way to the test part; every opening is counted by whoever was told at construction."""

    def __init__(self, part: Part, log: Callable[[str], Opening] | None = None):
        self.__part, self.log, self.opened = part, log, 0
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.__part)

    @property
    def rows(self) -> Tensor:
        """Which rows of the source are held out, (n,): enough to name the set, not to look at it."""
        return self.__part.rows

    def hashes(self) -> Tensor | None:
        """A number for each of its rows, by which they are known again elsewhere; None where they stay on disk."""
        return row_hashes(self.__part.x) if isinstance(self.__part.x, Tensor) else None

    def open(self, reason: str) -> Part:
        """The test rows. `reason` is logged; `opened` says how often this set has been looked at, `notes` what else is known of that."""
        opening = self.log(reason) if self.log else Opening(self.opened + 1)
        self.opened, self.notes = opening.count, opening.notes
        return self.__part


@dataclass(frozen=True)
class Data:
    """What a network trains on: parts as tensors, the encoder that made them, the test part behind its door.

    `ready(x)` turns stored inputs into what a net reads (float32, scaled), on whatever device `x` is.
    `input_shape` excludes the sample axis; `outputs` is how many numbers a net must give: classes or target columns.
    """

    name: str
    source: Source
    encoder: Any
    target_kind: TargetKind
    classes: tuple[str, ...]
    input_shape: tuple[int, ...]
    outputs: int
    train: Part
    valid: Part
    door: Door
    ready: Callable[[Tensor], Tensor]


def validated(data: Data, what: str) -> None:
    """Raises InputError where no rows validate, by which `what` judges nets."""
    if not len(data.valid):
        raise InputError(f"{what} judges nets by the validation part, and --split leaves none. Write --split train=.7,valid=.15,test=.15.")


def split_sizes(data: Data) -> dict[str, int]:
    return {"train": len(data.train), "valid": len(data.valid), "test": len(data.door)}
