"""Targets from what the source has to what a loss compares, and back: fitted on the training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.batch import map_tensors
from chainrule.core.boxes import Boxes
from chainrule.core.errors import InputError, suggest
from chainrule.core.schema import as_type
from chainrule.core.traits import PLACED
from chainrule.data.encode.columns import Table
from chainrule.data.encode.described import DescribedTarget, tensor
from chainrule.data.encode.flattened import flattened
from chainrule.data.encode.lagged import Lagged
from chainrule.data.encode.moments import Moments
from chainrule.data.encode.rows import gather
from chainrule.data.encode.targets import as_codes, as_numbers
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.formats import folded
from chainrule.data.source import Source, TargetKind
from chainrule.data.storage.stored import StoredTable

NOTHING, UNSEEN = -1, -2    # where a box would be and is none; where a class is that training never saw


@dataclass(frozen=True)
class TargetEncoder:
    """What turns targets into tensors (`encode`) and numbers back into the units of the data (`unscale`).

    `kind` is what they are encoded as. `scale` (2, k) holds mean and sd of real targets, whose columns are called `names`. Where targets
    are the symbols of a text, or strings that are written, classes are `open`: the last of them stands for all that training never saw.
    `columns` are those of a table that held them.
    """

    kind: TargetKind
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    scale: Tensor | None = None
    columns: tuple[str, ...] = ()
    open: bool = False

    @classmethod
    def fit(cls, source: Source, rows: Tensor, kind: TargetKind, *, classes: Sequence[str] = (), open: bool = False,
            bounded: bool = False, like: TargetEncoder | None = None) -> TargetEncoder:
        """Learn from `rows` of the source and from nothing else.

        `bounded` scales numbers to [-1, 1], the extremes of these rows, for nets whose outputs lie there; with `like`, numbers of the same
        names are scaled as they are there. Raises InputError for constant numbers.
        """
        scale = _scaling(source, rows, bounded) if kind == "real" else None
        names = () if scale is None else _names(source, scale.shape[1])
        own = cls(kind, tuple(classes), names, scale, _columns_of_targets(source), open)
        return replace(own, scale=like.scale) if like is not None and own.asks_the_same(like) else own

    def remarks(self, source: Source, rows: Tensor) -> list[str]:
        """What is said of numbers that one value makes flat; nothing of those of a series, which are among its columns."""
        if self.kind != "real" or isinstance(source.inputs, Lagged):
            return []
        y = as_numbers(source.target_kind, source.targets, source.classes, source.name)[rows].double()      # (n, k)
        return [lone.sentence(f"The target '{self.names[column]}'", int(rows[lone.first]), "if it is right, learn its logarithm")
                for column, lone in flattened(Moments.of(y), lambda column: [y[:, column]])]

    def asks_the_same(self, other: TargetEncoder) -> bool:
        """Whether outputs mean the same as those of a net whose targets the other encodes: the same classes, or the same numbers."""
        return (self.kind, self.classes, self.names) == (other.kind, other.classes, other.names)

    @property
    def outputs(self) -> int:
        """How many numbers a net must give: classes, target columns, one for a sign; 0 without targets."""
        if self.kind == "real":
            assert self.scale is not None
            return self.scale.shape[1]
        return {"sign": 1, "none": 0}.get(self.kind, len(self.classes))

    def encode(self, source: Source, rows: Tensor | None = None) -> Any:
        """Encoded targets: class int64 (n,), real standardised float32 (n, k), sign -1 or +1 float32 (n,), steps int64 (n, t), pairs int8
        (n, t, t), maps uint8 (n, h, w), boxes with class numbers as `Boxes`, else None.

        Raises InputError naming a class that training never saw.
        """
        if self.kind == "none" or source.targets is None:
            return None
        if self.kind == "real":
            assert self.scale is not None
            y = gather(as_numbers(source.target_kind, source.targets, source.classes, source.name), rows)
            if y.shape[1] != self.scale.shape[1]:
                raise InputError(f"{source.name} has {y.shape[1]} target columns; the network was trained on {self.scale.shape[1]}.")
            return ((y - self.scale[0]) / self.scale[1]).float()
        if source.target_kind != self.kind and {self.kind, source.target_kind} & set(PLACED):
            raise InputError(f"{source.name} has {source.target_kind} as targets; the network was trained on {self.kind}. Give data of "
                             "that form.")
        if self.kind == "maps":
            return self._numbers(gather(source.targets, rows), source.classes, source.name, rows).to(torch.uint8)
        if self.kind == "labels":
            return self._numbers(gather(source.targets, rows), source.classes, source.name, rows)
        if self.kind == "pairs":
            return self._numbers(gather(source.targets, rows), source.classes, source.name, rows).to(torch.int8)
        if self.kind == "boxes":
            boxes: Boxes = map_tensors(lambda t: gather(t, rows), source.targets)
            return Boxes(boxes.corners, self._numbers(boxes.labels, source.classes, source.name, rows))
        codes, names = as_codes(source.target_kind, source.targets, source.classes, source.name)
        y = self._numbers(gather(codes, rows), names, source.name, rows)
        if self.kind == "steps":
            return y.clamp(min=0)                       # where nothing is asked, which the mask says
        return y.float().mul_(2).sub_(1) if self.kind == "sign" else y

    def _numbers(self, codes: Tensor, names: Sequence[str], where: str, rows: Tensor | None) -> Tensor:
        """Whole numbers (n, ...) of the classes known here, of codes (n, ...) of `names`; below 0 there is none, and stays none."""
        if tuple(names) == self.classes:
            return codes
        alike = {} if self.open else {folded(c): i for i, c in reversed(list(enumerate(self.classes)))}
        place = {**{c: alike[folded(c)] for c in names if folded(c) in alike}, **{c: i for i, c in enumerate(self.classes)}}
        unseen = len(self.classes) - 1 if self.open else UNSEEN
        numbers = torch.tensor([*(place.get(c, unseen) for c in names), NOTHING])[codes.long()]      # the last is at -1
        if bool((numbers == UNSEEN).any()):
            first = (numbers == UNSEEN).nonzero()[0]
            row = int(first[0]) if rows is None else int(rows[first[0]])
            name = names[int(codes[tuple(first)])]
            raise InputError(f"{where}, row {row + 1}: the class '{name}' was never seen in training, which knew "
                             f"{', '.join(self.classes[:10])}. "
                             f"{suggest(name, self.classes)}")
        return numbers

    def mask(self, source: Source, rows: Tensor | None = None) -> Tensor | None:
        """Which steps (n, t) exist, and are asked for where targets at steps are known: those that are not below 0.

        None where that is all steps, or where targets are not asked at steps or pairs of them. Of strings that are written (n, l) a step
        (n, l + 1) is each symbol, and the end.
        """
        if self.kind == "labels" and self.open and source.targets is not None:
            symbols = gather(source.targets, rows) >= 0
            return None if bool(symbols.all()) else torch.nn.functional.pad(symbols, (1, 0), value=True)
        if self.kind not in ("steps", "pairs"):
            return None
        asked = gather(source.targets, rows) >= 0 if self.kind == "steps" and source.targets is not None else None
        exists = gather(source.inputs.mask, rows) if isinstance(source.inputs, Symbols) else None
        if asked is None or exists is None:
            mask = exists if asked is None else asked
        else:
            mask = asked & exists
        if mask is None:
            return None
        return None if bool(mask.all()) else mask

    def unscale(self, y: Tensor) -> Tensor:
        """Standardised real targets or predictions (n, k) in the units of the data."""
        if self.scale is None:
            return y
        mean, sd = self.scale.to(y.device)
        numbers: Tensor = (y.double() * sd + mean).to(torch.float64 if y.dtype == torch.float64 else torch.float32)
        return numbers

    def to_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for safetensors and a JSON-able rest, from which `from_state` makes an equal encoder."""
        meta = {"kind": self.kind, "classes": list(self.classes), "names": list(self.names), "columns": list(self.columns),
                "open": self.open}
        return {} if self.scale is None else {"scale": self.scale.contiguous()}, meta

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> TargetEncoder:
        """The encoder that `to_state` described. Raises Misfit where none is."""
        described: DescribedTarget = as_type(DescribedTarget, meta)
        scale = tensor(tensors, "scale", 2, len(described.names)) if described.kind == "real" else None
        return cls(described.kind, described.classes, described.names, scale, described.columns, described.open)


def _scaling(source: Source, rows: Tensor, bounded: bool) -> Tensor:
    """Centre and extent (2, k) of numbers: mean and standard deviation, or the middle and half the range; of a series, of its steps."""
    if isinstance(source.inputs, Lagged):
        form = source.inputs.form
        centre, factor = source.inputs.scaling(rows)[:, : len(form.targets)]
        return torch.stack([centre, 1 / factor]).repeat(1, form.horizon)
    y = as_numbers(source.target_kind, source.targets, source.classes, source.name)[rows]  # (n, k)
    centre, factor = Moments.of(y).scaling("standard")
    constant = (factor == 0).nonzero()[:, 0].tolist()
    if constant:
        name = f" '{_names(source, y.shape[1])[constant[0]]}'" if y.shape[1] > 1 else ""
        raise InputError(f"{source.name}: the target{name} is constant ({y[0, constant[0]].item():.6g}) in all {len(y)} training rows; "
                         "there is nothing to learn. Pick another with --target.")
    if bounded:
        low, extent = Moments.of(y).scaling("unit")
        return torch.stack([low + 0.5 / extent, 0.5 / extent])
    return torch.stack([centre, 1 / factor])


def _columns_of_targets(source: Source) -> tuple[str, ...]:
    """The columns of a table that hold the targets; none where they came apart, or there are none."""
    of_table = isinstance(source.inputs, Table | StoredTable) or (isinstance(source.inputs, Symbols) and bool(source.inputs.column))
    return source.target_names if of_table else ()


def _names(source: Source, count: int) -> tuple[str, ...]:
    """What so many numeric targets are called."""
    if len(source.target_names) == count:
        return source.target_names
    if count > 1:
        return tuple(f"target_{i + 1}" for i in range(count))
    return (str(source.origin.get("target") or "target"),)
