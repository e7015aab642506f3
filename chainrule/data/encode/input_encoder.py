"""Inputs from raw rows to what a net reads: fitted on the training rows alone, and used again on any new file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.schema import Misfit, as_type
from chainrule.core.text import visible
from chainrule.core.traits import Range
from chainrule.data import formats
from chainrule.data.encode import pixels
from chainrule.data.encode.columns import Table
from chainrule.data.encode.described import Described, tensor
from chainrule.data.encode.features import Features
from chainrule.data.encode.flattened import flattened
from chainrule.data.encode.lagged import Lagged, Lagging
from chainrule.data.encode.moments import of_columns, over
from chainrule.data.encode.rows import gather, pieces
from chainrule.data.encode.series import Form, Series
from chainrule.data.encode.vocabulary import Symbols, Vocabulary, one_hot, widened
from chainrule.data.encode.words import word_by_word
from chainrule.data.formats import Format
from chainrule.data.readers import arrays, tables
from chainrule.data.readers.download import to_stderr
from chainrule.data.reading import Reading
from chainrule.data.source import Source
from chainrule.data.storage.stored import StoredArray, StoredTable, Streamed

MOST_FACTOR = 1e30  # of a scale in single precision: numbers near 1e-42 have a factor that it cannot hold
WIDE = 64  # uint8 rows at least this wide are pixels
Kind = Literal["table", "pixels", "array", "symbols", "codes", "series", "lagged"]
ROWS: dict[Kind, str] = {"table": "the rows of a table", "pixels": "pictures", "array": "rows of numbers", "symbols": "text or sequences",
                         "codes": "whole numbers to be looked up", "series": "a series", "lagged": "windows of a series to be foretold"}


@dataclass(frozen=True)
class InputEncoder:
    """What turns rows into stored tensors (`encode`), and stored tensors into what a net reads (`ready`).

    `shape` is a row as the source has it; `scale` (2, ...) holds centre and factor of arrays, and of the channels of pixels where a net
    wants them so, those of flat rows for each number; `codes` are whole numbers of an array that a net looks up in an embedding, given
    as they are. Rows of symbols are windows of one text, `stride` apart, or sequences that may be shorter; rows of an array are
    `sequences` that may have any number of steps where each step has a target. Those of a `series` are scaled by column, and may have
    gaps. `apart` names columns that are not inputs: target,
    group, time, and those left out. `notes` says in sentences what was read how, filled in or left out. `formats`, `reading` and
    `column_kinds` say how the words of a table's columns are read, of new rows too. `lagging` says how a series is
    cut into windows from which it is foretold, `column` is
    the one whose sentences are read word by word.
    """

    kind: Kind
    shape: tuple[int, ...]
    range: Range = "standard"
    flatten: bool = False
    maximum: float = 1.0
    features: Features | None = None
    scale: Tensor | None = None
    vocabulary: Vocabulary | None = None
    stride: int | None = None
    apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    formats: Mapping[str, Format] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    column_kinds: Mapping[str, str] = field(default_factory=dict)
    sequences: bool = False
    series: Form | None = None
    lagging: Lagging | None = None
    column: str = ""

    @classmethod
    def fit(cls, source: Source, rows: Tensor, *, range: Range = "standard", flatten: bool = False,
            maximum: float | None = None, codes: bool = False, like: InputEncoder | None = None) -> InputEncoder:
        """Learn from `rows` of the source and from nothing else. `maximum` is the largest value a pixel can have, where known.

        With `like`, numbers and words become what they become there: its statistics, categories and vocabulary are taken, and of pixels
        the scale of the channels, where it has one. Raises InputError where that reads rows of another kind.
        """
        notes: list[str] = list(source.notes)
        left_out: set[str] = set()
        shape: tuple[int, ...]
        kind: Kind = "array"
        features, scale, vocabulary, stride, form = None, None, None, None, None
        if isinstance(source.inputs, Table | StoredTable):
            features, remarks = (like.features, []) if like and like.features else Features.fit(source.inputs, rows, range)
            notes += remarks
            kind, shape = "table", (len(features.names),)
            left_out = {c.name for c in source.inputs.columns} - {c.name for c in features.columns}
            left_out |= {name for name, form in source.formats.items() if form.kind == "out"}
        elif isinstance(source.inputs, Symbols):
            stride = source.inputs.stride
            follows = source.inputs.next_symbol and source.target_kind in ("class", "steps")
            known = like.vocabulary if like is not None else None
            vocabulary = known or Vocabulary.of_rows(source.inputs, rows, source.targets if follows else None)
            kind, shape = "symbols", source.inputs.shape[1:]
            notes += vocabulary.note(source.inputs, rows)
        elif isinstance(source.inputs, Series):
            kind, shape = "series", source.inputs.shape[1:]
            scale = like.scale if like and like.kind == kind else of_columns(source.inputs.values[rows], range)     # (2, d)
        elif isinstance(source.inputs, Lagged):
            kind, shape = "lagged", source.inputs.shape[1:]
            scale = like.scale if like is not None and like.kind == "lagged" else source.inputs.scaling(rows)      # (2, columns)
            form = replace(source.inputs.form, errors=source.inputs.errors(rows))
            left_out = {name for name, format in source.formats.items() if format.kind == "out"}
            notes += [] if like is not None else source.inputs.remarks(rows)
        else:
            x = source.inputs
            shape = tuple(x.shape[1:])
            if codes:
                kind, notes = "codes", ["the whole numbers of the inputs are given as they are to the net, which has an embedding"]
            elif x.dtype == torch.uint8 and (len(shape) > 1 or shape[0] >= WIDE or maximum):
                kind, maximum = "pixels", maximum or pixels.maximum_of(x, rows)
                if like is not None:
                    fits = like.scale is not None and like.scale.shape[1] == (math.prod(shape) if flatten else shape[0])
                    scale = like.scale if fits else None              # (2, c, 1, 1), or (2, d) of flat rows
                elif range == "standardised":
                    scale = pixels.scale_of_channels(x, rows, maximum, flatten)
            elif like and like.kind == "array" and like.shape[:1] == shape[:1]:
                scale = like.scale
            else:
                moments = over(pieces(x, rows))
                scale = torch.stack(moments.scaling(range))           # (2, d), or (2, 1) for one scale over all
                if len(shape) == 1:
                    notes += [lone.sentence(f"Feature {feature + 1}", int(rows[lone.first]), "if it is right, give its logarithm")
                              for feature, lone in flattened(moments, lambda d: (piece[:, d] for piece in pieces(x, rows)))]
        if like is not None and like.kind != kind:
            raise InputError(f"{source.name} holds {ROWS[kind]}; the net that is started from reads {ROWS[like.kind]}. Give it such data, "
                             "or leave out --from.")
        targets = [] if source.target_names else ["target"]             # of an array the number of a column
        roles = [*source.target_names, *(str(source.origin[r]) for r in (*targets, "group", "time", "weight")
                                         if source.origin.get(r) is not None)]
        return cls(kind, shape, range, flatten, float(maximum or 1), features, scale, vocabulary, stride, (*roles, *sorted(left_out)),
                   tuple(notes), dict(source.formats), dict(source.origin.get("reading", {})), _kinds(source),
                   kind == "array" and len(shape) == 2 and source.target_kind == "steps",
                   source.inputs.form if isinstance(source.inputs, Series) else None, form,
                   source.inputs.column if isinstance(source.inputs, Symbols) else "")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A row as a net reads it, without the sample axis."""
        shape = self.shape if self.vocabulary is None else (*self.shape, len(self.vocabulary))
        return (math.prod(shape),) if self.flatten else shape

    @property
    def groups(self) -> tuple[int, ...]:
        """How many of the numbers that a net reads stand for one thing: of a column of categories as many as it has.

        One size for all where rows are symbols; empty where rows are no table.
        """
        if self.vocabulary is not None:
            return (len(self.vocabulary),)
        if self.features is None:
            return ()
        sizes = [[len(column.outputs)] if column.kind == "categorical" else [1] * len(column.outputs) for column in self.features.columns]
        return tuple(size for several in sizes for size in several)

    @property
    def windowed(self) -> bool:
        """Whether rows are windows of a text, as many steps apart as they have, or of a series."""
        return self.series is not None or (self.stride is not None and self.stride == self.shape[0])

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """The shape (channels, height, width) of rows that are pictures; None for other rows."""
        shape = self.shape
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] in (1, 3) else None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each encoded number of a table is; empty for images and arrays."""
        return self.features.names if self.features else ()

    def encode(self, rows_of: Any, rows: Tensor | None = None, say: Callable[[str], None] = to_stderr) -> Any:
        """Rows as they are stored, (n, ...): uint8 pixels, codes of symbols, else scaled float32. Takes a Source, its inputs, a frame.

        A Tensor, or Streamed where the rows stay on disk. Raises InputError in one sentence where columns or shape are not those
        of training; tells `say` of columns passed over.
        """
        where = rows_of.name if isinstance(rows_of, Source) else "the data"
        values = rows_of.inputs if isinstance(rows_of, Source) else rows_of
        if self.features is not None:
            if tables.is_frame(values):
                known = tables.Known(self.formats, lenient=self.apart, names=tuple(c.name for c in self.features.columns))
                values = tables.typed(values, where, Reading.of_new_rows(self.reading), known, wordy=False).table
            if not isinstance(values, Table | StoredTable):
                raise InputError(f"{where}: expected a table with the columns {', '.join(c.name for c in self.features.columns[:10])}; "
                                 f"got {_form(values)}. Give such a table, e.g. a .csv file.")
            features = self.features
            features.check(values, where, self.apart, say)
            if isinstance(values, Table):
                for sentence in self.strangers(features.unseen(values, rows) if say is not silent else {}, where, len(values)):
                    say(sentence)
                return features.encode(values, rows, where)
            return Streamed(values.only(c.name for c in features.columns), rows, lambda table: features.encode(table, None, where))
        if self.vocabulary is not None:
            if isinstance(values, Table) and self.column in values.names:
                values, _ = word_by_word(values[self.column])
                for sentence in self.strangers(self.vocabulary.rows_with_unknown(values, rows), where, len(values)):
                    say(sentence)
            if not isinstance(values, Symbols):
                raise InputError(f"{where}: expected text or sequences of symbols; got rows of numbers. Give a .txt or FASTA file.")
            if values.shape[1:] != self.shape and (values.of_text or self.stride is not None):
                raise InputError(f"{where} has a context of {values.shape[1]} symbols; the network was trained on {self.shape[0]}. Read it "
                                 "with that context.")
            if not self.column and say is not silent:
                for sentence in self.strange_symbols(values, rows, where):
                    say(sentence)
            codes = self.vocabulary.recode(values, rows)
            return widened(codes[:, : self.shape[0]] if self.column else codes, self.shape[0], self.vocabulary.padding, where)
        if self.series is not None:
            return self._steps(values, rows, where)
        if self.lagging is not None:
            return self._windows(values, rows, where)
        if isinstance(values, Symbols | Series):
            raise InputError(f"{where} is text or sequences of symbols; the network was trained on rows of shape {self.shape}. Give such "
                             "rows.")
        if isinstance(values, Lagged):
            raise InputError(f"{where} is a series; the network was trained on rows of shape {self.shape}. Leave out --horizon.")
        if isinstance(values, Table | StoredTable):
            raise InputError(f"{where} is a table; the network was trained on rows of shape {self.shape}. Give an array or images.")
        x = values if isinstance(rows_of, Source) or isinstance(values, StoredArray) else arrays.of_inputs(values, where)
        fits = x.dim() == 3 and tuple(x.shape[2:]) == self.shape[1:] if self.sequences else tuple(x.shape[1:]) == self.shape
        if not fits:
            raise InputError(f"{where} has rows of shape {tuple(x.shape[1:])}; the network was trained on {self.shape}. Bring them to "
                             "that shape.")
        if self.kind == "pixels" and x.dtype != torch.uint8:
            raise InputError(f"{where} holds {x.dtype}; the network was trained on pixels of uint8 from 0 to {self.maximum:g}. Convert "
                             "them.")
        return Streamed(x, rows, self.scaled) if isinstance(x, StoredArray) else self.scaled(gather(x, rows))

    def _steps(self, values: Any, rows: Tensor | None, where: str) -> Tensor:
        """The sequences of a series, scaled, as long as those of training. Raises InputError for other rows, and longer ones."""
        assert self.series is not None
        if not isinstance(values, Series) or values.form.names != self.series.names:
            raise InputError(f"{where}: expected a series with the columns {', '.join(self.series.names[:10])}; got other rows. Give such "
                             "a table.")
        x, length = gather(values.values, rows), self.shape[0]
        if x.shape[1] > length and not bool(x[:, length:].isnan().all()):
            raise InputError(f"{where} has sequences of up to {x.shape[1]} steps; the network was trained on at most {length}. Cut them.")
        return self.scaled(torch.nn.functional.pad(x, (0, 0, 0, length - x.shape[1]), value=math.nan))

    def _windows(self, values: Any, rows: Tensor | None, where: str) -> Tensor:
        """Scaled windows (n, lags, columns) of a series. Raises InputError where it is none such, or too short."""
        assert self.lagging is not None
        if not isinstance(values, Lagged):
            raise InputError(f"{where}: expected a series with the columns {', '.join(self.lagging.targets + self.lagging.others)}; got "
                             "rows of numbers. Give a table of its steps.")
        if values.form.names != self.lagging.names or values.form.lags != self.lagging.lags:
            raise InputError(f"{where} is a series of {', '.join(values.form.names[:5])} read {values.form.lags} steps at a time; the "
                             f"network was trained on {', '.join(self.lagging.names[:5])} and {self.lagging.lags}. Give such a series.")
        if not len(values):
            raise InputError(f"{where} has {len(values.values):,} steps; the network reads {self.lagging.lags} before it foretells. Give "
                             f"at least {self.lagging.lags}.")
        x = gather(values.windows(self.scaled(values.values)), rows)
        return x.flatten(1) if self.flatten else x

    def strangers(self, unseen: Mapping[str, tuple[int, int, str]], where: str, n: int) -> list[str]:
        """What is said of words that training never saw, by column: how many rows of `n` have one, the first such row and its word."""
        texts = {c.name for c in self.features.columns if c.kind == "text"} if self.features else {self.column}
        return [f"{where}: in {count:,} of {n:,} rows '{name}' has a word that training never saw, first '{word}' in row {row + 1}; "
                f"{'such words count as unknown' if name in texts else 'none of the known ones stands for it'}."
                for name, (count, row, word) in unseen.items()]

    def strange_symbols(self, symbols: Symbols, rows: Tensor | None, where: str) -> list[str]:
        """What is said of symbols that training never saw: of a text which, else how many rows have one, the first and its symbol."""
        assert self.vocabulary is not None
        if symbols.of_text:
            return self.vocabulary.unknown_in(symbols, where)
        n, strange = len(symbols) if rows is None else len(rows), self.vocabulary.rows_with_unknown(symbols, rows)
        return [f"{where}: in {count:,} of {n:,} sequences is a symbol that training never saw, first '{visible(symbol)}' in sequence "
                f"{row + 1}; such symbols count as unknown." for count, row, symbol in strange.values()]

    def scaled(self, x: Tensor) -> Tensor:
        """Rows of an array or of images as they are stored."""
        if self.kind == "codes":
            x = _whole(x)
            return x.flatten(1) if self.flatten else x
        if self.kind != "pixels":
            assert self.scale is not None
            work = x if x.is_floating_point() and self.single else x.double()
            centre, factor = self.scale.to(work.dtype)
            x = (work - centre).mul_(factor).float()
        return x.flatten(1) if self.flatten and self.kind != "lagged" else x

    @cached_property
    def single(self) -> bool:
        """Whether single precision holds the factors of arrays."""
        return self.scale is None or bool(self.scale[1].abs().max() < MOST_FACTOR)

    def ready(self, x: Tensor) -> Tensor:
        """Stored inputs as a net reads them, on whatever device they are: float32, symbols one-hot, codes int64.

        Pixels lie in [0, 1], or are scaled by channel.
        """
        if self.vocabulary is not None:
            hot = one_hot(x, len(self.vocabulary))                   # (n, t, symbols)
            return hot.flatten(1) if self.flatten else hot
        if self.kind == "codes":
            return x
        if self.kind != "pixels":
            return x.to(torch.float32)
        shares = x.to(torch.float32) / self.maximum
        if self.scale is None:
            return shares
        centre, factor = self.scale.to(shares)                       # (c, 1, 1) each
        scaled: Tensor = (shares - centre) * factor
        return scaled

    @property
    def scaling(self) -> tuple[float, ...]:
        """The numbers by which `ready` scales stored inputs: the largest value, then centre and factor of each channel, if any."""
        return (self.maximum, *(self.scale.flatten().tolist() if self.kind == "pixels" and self.scale is not None else ()))

    def blank(self, rows: int) -> Tensor:
        """So many stored rows of zeros."""
        types: dict[str, torch.dtype] = {"pixels": torch.uint8, "symbols": torch.int64, "codes": torch.int64}
        shape = (math.prod(self.shape),) if self.flatten and self.vocabulary is None else self.shape
        return torch.zeros(rows, *shape, dtype=types.get(self.kind, torch.float32))

    @property
    def units(self) -> tuple[Tensor, Tensor]:
        """Centre and factor (d,) by which the columns of rows (n, d) were scaled; 0 and 1 where they are not one number a column."""
        if self.features is not None and all(len(c.outputs) == 1 for c in self.features.columns):
            centre, factor = self.features.scale[:, 0], self.features.scale[:, 1]
        elif self.scale is not None and self.kind == "array":
            centre, factor = self.scale[0], self.scale[1]
        else:
            size = self.input_shape[0]
            return torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64)
        return centre.double(), torch.where(factor == 0, 1.0, factor.double())

    def to_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for safetensors and a JSON-able rest, from which `from_state` makes an equal encoder."""
        tensors = {"columns": self.features.scale if self.features else None, "scale": self.scale}
        meta: dict[str, Any] = {
            "kind": self.kind, "shape": list(self.shape), "range": self.range, "flatten": self.flatten, "maximum": self.maximum,
            "stride": self.stride, "apart": list(self.apart), "notes": list(self.notes), "formats": formats.to_json(self.formats),
            "reading": dict(self.reading), "column_kinds": dict(self.column_kinds), "sequences": self.sequences, "column": self.column,
            "columns": self.features.to_json() if self.features else None,
            "series": self.series.to_json() if self.series else None, "lagged": self.lagging.to_json() if self.lagging else None}
        if self.vocabulary is not None:
            meta |= {"symbols": list(self.vocabulary.symbols), "unit": self.vocabulary.unit,
                     "merges": [list(pair) for pair in self.vocabulary.merges]}
        return {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}, meta

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> InputEncoder:
        """The encoder that `to_state` described. Raises Misfit where none is."""
        described: Described = as_type(Described, meta)
        kind: Kind = as_type(Kind, described.kind)
        features = None if described.columns is None else Features(described.columns, tensor(tensors, "columns", len(described.columns), 3))
        if kind == "table" and (features is None or described.shape != (len(features.names),)):
            raise Misfit(f"a table of {described.shape} numbers", "other columns", "columns")
        scale = tensor(tensors, "scale", 2) if "scale" in tensors or kind in ("array", "series", "lagged") else None
        vocabulary = Vocabulary(described.symbols, described.unit, described.merges) if kind == "symbols" else None
        return cls(kind, described.shape, described.range, described.flatten, described.maximum, features, scale, vocabulary,
                   described.stride, described.apart, described.notes, described.formats, described.reading, described.column_kinds,
                   described.sequences, described.series, described.lagged, described.column)


def _kinds(source: Source) -> dict[str, str]:
    """The kind of each input column of a table, by name; empty for other rows."""
    if isinstance(source.inputs, Symbols):
        return {source.inputs.column: "text"} if source.inputs.column else {}
    return {c.name: c.kind for c in source.inputs.columns} if isinstance(source.inputs, Table | StoredTable) else {}


def silent(_: str) -> None:
    """For whoever has nobody to tell."""


def _whole(x: Tensor) -> Tensor:
    """Rows of codes as int64. Raises InputError naming the first row with a number that is none."""
    bad = ((x != x.floor()) | (x < 0)).flatten(1)
    if bool(bad.any()):
        row, feature = bad.nonzero()[0].tolist()
        raise InputError(f"row {row + 1}, feature {feature + 1}: expected a whole number of at least 0, which the net looks up in its "
                         f"embedding; got {float(x[row].flatten()[feature]):g}. Correct it.")
    return x.long()


def _form(values: Any) -> str:
    """What came in place of a table, in words."""
    return "text or sequences" if isinstance(values, Symbols) else "pictures" if getattr(values, "ndim", 0) == 4 else "an array"
