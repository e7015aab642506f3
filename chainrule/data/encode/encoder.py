"""The encoder: fitted on the training rows alone, kept as tensors and JSON with the run, and used again on any new file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data import formats
from chainrule.data.encode.columns import Table
from chainrule.data.encode.features import Features, Moments, Range
from chainrule.data.encode.targets import as_codes, as_numbers
from chainrule.data.encode.vocabulary import Symbols, Vocabulary, one_hot, widened
from chainrule.data.formats import Format, folded
from chainrule.data.readers import arrays, tables
from chainrule.data.readers.download import to_stderr
from chainrule.data.reading import Reading
from chainrule.data.source import Source, TargetKind
from chainrule.data.storage.stored import StoredArray, StoredTable, Streamed

FORMAT = 2
MOST_FACTOR = 1e30  # of a scale in single precision: numbers near 1e-42 have a factor that it cannot hold
WIDE = 64  # uint8 rows at least this wide are pixels
Kind = Literal["table", "pixels", "array", "symbols"]


@dataclass(frozen=True)
class Encoder:
    """What turns rows into stored tensors, stored tensors into what a net reads (`ready`), and targets both ways.

    `shape` is a row as the source has it; `scale` (2, ...) holds centre and factor of arrays, `y_scale` (2, k) mean and sd
    of real targets. `apart` names columns that are not inputs: target, group, time, and those left out; `target_column` is the first of
    them, where the rows came with a target of a name. `notes` says in sentences what was read how, filled in or left out. `formats`,
    `reading` and `column_kinds` say how the words of a table's columns are read, of new rows too.
    """

    kind: Kind
    shape: tuple[int, ...]
    range: Range
    target: TargetKind
    classes: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    flatten: bool = False
    maximum: float = 1.0
    features: Features | None = None
    scale: Tensor | None = None
    y_scale: Tensor | None = None
    apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None
    target_column: str | None = None
    formats: Mapping[str, Format] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    column_kinds: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, source: Source, rows: Tensor, *, target: TargetKind, range: Range = "standard", flatten: bool = False,
            classes: Sequence[str] = (), maximum: float | None = None, bounded: bool = False) -> Encoder:
        """Learn from `rows` of the source and from nothing else. `maximum` is the largest value a pixel can have, where known.

        `bounded` scales numeric targets to [-1, 1], the extremes of these rows, for nets whose outputs lie there.
        """
        notes: list[str] = []
        left_out: set[str] = set()
        shape: tuple[int, ...]
        kind, features, scale, vocabulary = "array", None, None, None
        if isinstance(source.inputs, Table | StoredTable):
            features, said = Features.fit(source.inputs, rows, range)
            notes = [*source.notes, *said]
            kind, shape = "table", (len(features.names),)
            left_out = {c.name for c in source.inputs.columns} - {c.name for c in features.columns}
            left_out |= {name for name, held in source.formats.items() if held.kind == "out"}
        elif isinstance(source.inputs, Symbols):
            follows = source.inputs.next_symbol and source.target_kind in ("class", "steps")
            vocabulary = Vocabulary.of_rows(source.inputs, rows, source.targets if follows else None)
            kind, shape = "symbols", source.inputs.shape[1:]
            if follows and target in ("class", "steps") and not classes:
                classes = vocabulary.names
        else:
            x = source.inputs
            shape = tuple(x.shape[1:])
            if x.dtype == torch.uint8 and (len(shape) > 1 or shape[0] >= WIDE or maximum):
                kind, maximum = "pixels", maximum or _maximum(x, rows)
            else:
                pieces = x.pieces(rows) if isinstance(x, StoredArray) else [gather(x, rows)]
                scale = torch.stack(_moments(pieces).scaling(range))  # (2, d), or (2, 1) for one scale over all
        y_scale = None
        if target == "real":
            y = as_numbers(source.target_kind, source.targets, source.classes, source.name)[rows]  # (n, k)
            centre, factor = Moments.of(y).scaling("standard")
            if bool((factor == 0).any()):
                raise InputError(f"{source.name}: the target is constant ({y[0].tolist()[0]:.6g}) in all {len(y)} training rows; there "
                                 "is nothing to learn. "
                                 "Pick another with --target.")
            y_scale = torch.stack([centre, 1 / factor])
            if bounded:
                low, extent = Moments.of(y).scaling("unit")
                y_scale = torch.stack([low + 0.5 / extent, 0.5 / extent])
        roles = [str(source.origin[r]) for r in ("target", "group", "time", "weight") if source.origin.get(r) is not None]
        apart = (*roles, *sorted(left_out))
        names = _target_names(source, y_scale)
        return cls(kind, shape, range, target, tuple(classes), names, flatten, float(maximum or 1),  # type: ignore[arg-type]
                   features, scale, y_scale, apart, tuple(notes), vocabulary, _column_of_targets(source), dict(source.formats),
                   dict(source.origin.get("reading", {})), _kinds(source))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A row as a net reads it, without the sample axis."""
        shape = self.shape if self.vocabulary is None else (*self.shape, len(self.vocabulary))
        return (math.prod(shape),) if self.flatten else shape

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """The shape (channels, height, width) of rows that are pictures; None for other rows."""
        shape = self.shape
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] in (1, 3) else None

    @property
    def outputs(self) -> int:
        """How many numbers a net must give: classes, target columns, one for a sign; 0 without targets."""
        if self.target == "real":
            assert self.y_scale is not None
            return self.y_scale.shape[1]
        return {"class": len(self.classes), "steps": len(self.classes), "sign": 1, "none": 0}[self.target]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each encoded number of a table is; empty for images and arrays."""
        return self.features.names if self.features else ()

    def inputs(self, rows_of: Any, rows: Tensor | None = None, say: Callable[[str], None] = to_stderr) -> Any:
        """Rows as they are stored, (n, ...): uint8 pixels, codes of symbols, else scaled float32. Takes a Source, its inputs, a frame.

        A Tensor, or Streamed where the rows stay on disk. Raises InputError in one sentence where columns or shape are not those
        of training; tells `say` of columns passed over.
        """
        where = rows_of.name if isinstance(rows_of, Source) else "the data"
        held = rows_of.inputs if isinstance(rows_of, Source) else rows_of
        if self.features is not None:
            if tables.is_frame(held):
                known = tables.Known(self.formats, lenient=self.apart, names=tuple(c.name for c in self.features.columns))
                held = tables.typed(held, where, Reading.of_new_rows(self.reading), known, wordy=False).table
            if not isinstance(held, Table | StoredTable):
                raise InputError(f"{where}: expected a table with the columns {', '.join(c.name for c in self.features.columns[:10])}; "
                                 "got an array.")
            features = self.features
            features.check(held, where, self.apart, say)
            if isinstance(held, Table):
                for sentence in self.strangers(features.unseen(held, rows) if say is not silent else {}, where, len(held)):
                    say(sentence)
                return features.encode(held, rows, where)
            return Streamed(held.only(c.name for c in features.columns), rows, lambda table: features.encode(table, None, where))
        if self.vocabulary is not None:
            if not isinstance(held, Symbols):
                raise InputError(f"{where}: expected text or sequences of symbols; got rows of numbers. Give a .txt or FASTA file.")
            short = not held.next_symbol and self.classes != self.vocabulary.names
            if held.shape[1:] != self.shape and not short:
                raise InputError(f"{where} has a context of {held.shape[1]} symbols; the network was trained on {self.shape[0]}. Read it "
                                 "with that context.")
            return widened(self.vocabulary.recode(held, rows), self.shape[0], self.vocabulary.padding, where)
        if isinstance(held, Symbols):
            raise InputError(f"{where} is text or sequences of symbols; the network was trained on rows of shape {self.shape}. Give such "
                             "rows.")
        if isinstance(held, Table | StoredTable):
            raise InputError(f"{where} is a table; the network was trained on rows of shape {self.shape}. Give an array or images.")
        x = held if isinstance(rows_of, Source) or isinstance(held, StoredArray) else arrays.of_inputs(held, where)
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"{where} has rows of shape {tuple(x.shape[1:])}; the network was trained on {self.shape}. Bring them to "
                             "that shape.")
        if self.kind == "pixels" and x.dtype != torch.uint8:
            raise InputError(f"{where} holds {x.dtype}; the network was trained on pixels of uint8 from 0 to {self.maximum:g}. Convert "
                             "them.")
        return Streamed(x, rows, self._scaled) if isinstance(x, StoredArray) else self._scaled(gather(x, rows))

    def strangers(self, unseen: Mapping[str, tuple[int, int, str]], where: str, n: int) -> list[str]:
        """What is said of words that training never saw, by column: how many rows of `n` have one, the first such row and its word."""
        return [f"{where}: {count:,} of {n:,} rows have a word in '{name}' that training never saw, first '{word}' in row {row + 1}; "
                f"none of "
                "the known ones stands for it." for name, (count, row, word) in unseen.items()]

    def _scaled(self, x: Tensor) -> Tensor:
        """Rows of an array or of images as they are stored."""
        if self.kind != "pixels":
            assert self.scale is not None
            single = x.is_floating_point() and bool(self.scale[1].abs().max() < MOST_FACTOR)
            work = x if single else x.double()
            centre, factor = self.scale.to(work.dtype)
            x = (work - centre).mul_(factor).float()
        return x.flatten(1) if self.flatten else x

    def ready(self, x: Tensor) -> Tensor:
        """Stored inputs as a net reads them: float32, pixels in [0, 1], symbols one-hot, on whatever device they are."""
        if self.vocabulary is not None:
            hot = one_hot(x, len(self.vocabulary))                   # (n, t, symbols)
            return hot.flatten(1) if self.flatten else hot
        return x.to(torch.float32) / self.maximum if self.kind == "pixels" else x.to(torch.float32)

    def targets(self, source: Source, rows: Tensor | None = None) -> Tensor | None:
        """Encoded targets: class int64 (n,), real standardised float32 (n, k), sign -1 or +1 float32 (n,), steps int64 (n, t), else None.

        Raises InputError naming a class that training never saw.
        """
        if self.target == "none" or source.targets is None:
            return None
        if self.target == "real":
            assert self.y_scale is not None
            y = gather(as_numbers(source.target_kind, source.targets, source.classes, source.name), rows)
            if y.shape[1] != self.y_scale.shape[1]:
                raise InputError(f"{source.name} has {y.shape[1]} target columns; the network was trained on {self.y_scale.shape[1]}.")
            return ((y - self.y_scale[0]) / self.y_scale[1]).float()
        codes, names = as_codes(source.target_kind, source.targets, source.classes, source.name)
        alike = {} if self.vocabulary else {folded(c): i for i, c in reversed(list(enumerate(self.classes)))}
        place = {**{c: alike[folded(c)] for c in names if folded(c) in alike}, **{c: i for i, c in enumerate(self.classes)}}
        unseen = self.vocabulary.unknown if self.vocabulary and self.classes == self.vocabulary.names else -1
        picked = gather(codes, rows).long()
        y = torch.tensor([place.get(c, unseen) for c in names])[picked]
        if bool((y < 0).any()):
            first = (y < 0).nonzero()[0]
            row = int(first[0]) if rows is None else int(rows[first[0]])
            name = names[int(picked[tuple(first)])]
            raise InputError(f"{source.name}, row {row + 1}: the class '{name}' was never seen in training, which knew "
                             f"{', '.join(self.classes[:10])}. "
                             f"{suggest(name, self.classes)}")
        return y.float().mul_(2).sub_(1) if self.target == "sign" else y

    def mask(self, source: Source, rows: Tensor | None = None) -> Tensor | None:
        """Which steps exist (n, t) where sequences differ in length; None where all steps do, or where targets are not asked at steps."""
        if self.target != "steps" or not isinstance(source.inputs, Symbols):
            return None
        mask = gather(source.inputs.mask, rows)
        return None if bool(mask.all()) else mask

    def unscale(self, y: Tensor) -> Tensor:
        """Standardised real targets or predictions (n, k) in the units of the data."""
        if self.y_scale is None:
            return y
        mean, sd = self.y_scale.to(y.device)
        numbers: Tensor = (y.double() * sd + mean).to(torch.float64 if y.dtype == torch.float64 else torch.float32)
        return numbers

    def to_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for safetensors and a JSON-able rest, from which `from_state` makes an equal encoder."""
        held = {"columns": self.features.scale if self.features else None, "scale": self.scale, "y_scale": self.y_scale}
        meta: dict[str, Any] = {
            "format": FORMAT, "kind": self.kind, "shape": list(self.shape), "range": self.range, "target": self.target,
            "classes": list(self.classes), "target_names": list(self.target_names), "flatten": self.flatten, "maximum": self.maximum,
            "apart": list(self.apart), "target_column": self.target_column, "notes": list(self.notes),
            "formats": formats.to_json(self.formats), "reading": dict(self.reading), "column_kinds": dict(self.column_kinds),
            "columns": self.features.to_json() if self.features else None}
        if self.vocabulary is not None:
            meta |= {"symbols": list(self.vocabulary.symbols), "unit": self.vocabulary.unit}
        return {name: tensor.contiguous() for name, tensor in held.items() if tensor is not None}, meta

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Encoder:
        if meta.get("format") != FORMAT:
            raise InputError(f"the encoder was saved in format {meta.get('format')}; this version of chainrule reads {FORMAT}. Use the "
                             "version that saved it.")
        features = Features.from_json(meta["columns"], tensors["columns"]) if meta["columns"] is not None else None
        vocabulary = Vocabulary(tuple(meta["symbols"]), meta["unit"]) if meta["kind"] == "symbols" else None
        return cls(meta["kind"], tuple(meta["shape"]), meta["range"], meta["target"], tuple(meta["classes"]), tuple(meta["target_names"]),
                   meta["flatten"], meta["maximum"], features, tensors.get("scale"), tensors.get("y_scale"), tuple(meta["apart"]),
                   tuple(meta["notes"]), vocabulary, meta["target_column"],
                   {name: Format.from_json(stored) for name, stored in meta["formats"].items()}, meta["reading"], meta["column_kinds"])


def _kinds(source: Source) -> dict[str, str]:
    """The kind of each input column of a table, by name; empty for other rows."""
    return {c.name: c.kind for c in source.inputs.columns} if isinstance(source.inputs, Table | StoredTable) else {}


def silent(_: str) -> None:
    """For whoever has nobody to tell."""


def _moments(pieces: Iterable[Tensor]) -> Moments:
    """Over rows of features (n, d), for each of these; over all numbers of rows of more axes, (1,)."""
    rows = (x if x.is_floating_point() else x.double() for x in pieces)
    return reduce(Moments.with_, (Moments.of(x if x.dim() == 2 else x.reshape(-1, 1)) for x in rows))


def _column_of_targets(source: Source) -> str | None:
    """The column of a table that holds the targets; None where they came apart, or there are none."""
    name = source.origin.get("target")
    return name if isinstance(name, str) and isinstance(source.inputs, Table | StoredTable) else None


def _target_names(source: Source, y_scale: Tensor | None) -> tuple[str, ...]:
    """What real targets are called, (k,); empty for others."""
    if y_scale is None:
        return ()
    if y_scale.shape[1] > 1:
        return tuple(f"target_{i + 1}" for i in range(y_scale.shape[1]))
    return (str(source.origin.get("target") or "target"),)


def gather(values: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a tensor; a view, without copying, where they follow each other."""
    if rows is None:
        return values
    if len(rows) and int(rows[-1] - rows[0]) == len(rows) - 1 and bool((rows[1:] > rows[:-1]).all()):
        return values[int(rows[0]) : int(rows[-1]) + 1]
    return values.index_select(0, rows)


def _maximum(x: Tensor, rows: Tensor) -> float:
    """The largest value a pixel can have: 255, unless the training rows stay in the lower half; then their own largest."""
    most = max(int(x[part].max()) for part in rows.split(8192))
    return 255.0 if most > 127 else float(max(most, 1))


def units_of(encoder: Any) -> tuple[Tensor, Tensor]:
    """Centre and factor (d,) by which the columns of rows (n, d) were scaled; 0 and 1 where they are not one number a column."""
    if encoder.features is not None and all(len(c.outputs) == 1 for c in encoder.features.columns):
        centre, factor = encoder.features.scale[:, 0], encoder.features.scale[:, 1]
    elif encoder.scale is not None:
        centre, factor = encoder.scale[0], encoder.scale[1]
    else:
        size = encoder.input_shape[0]
        return torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64)
    return centre.double(), torch.where(factor == 0, 1.0, factor.double())
