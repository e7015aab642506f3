"""A text or the rows of a table as sequences: windows of so many steps, or one sequence for each group."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.encode.columns import Table
from chainrule.data.encode.series import Form, Series
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.readers.sequences import pad
from chainrule.data.readers.text import as_steps
from chainrule.data.source import Source
from chainrule.data.storage.stored import StoredArray, StoredTable

READABLE = ("numeric", "boolean")


def in_windows(source: Source, window: int, targets: bool = True) -> Source:
    """The source as sequences without targets: a text, a series of a table or an array (t, d) in windows of so many steps.

    With a column of groups each group is a sequence, in order of time where there is a column of times. Sequences stay as they are;
    without `targets` rows are to be answered, and a text is filled up to whole windows. Raises InputError for what is no sequence.
    """
    inputs = source.inputs
    if isinstance(inputs, Symbols):
        steps = as_steps(source, window, targets) if inputs.of_text else source
        return replace(steps, targets=None, target_kind="none", classes=())
    if isinstance(inputs, StoredTable | StoredArray):
        raise InputError(f"{source.name} stays on disk; sequences are made of tables that memory holds. Give fewer rows.")
    if isinstance(inputs, Table):
        return _of_table(source, inputs, window)
    if isinstance(inputs, Tensor) and inputs.dim() == 2 and inputs.is_floating_point():
        names = tuple(map(str, range(inputs.shape[1])))
        return _windowed(source, inputs.double(), Form(names), window)
    return source


def _of_table(source: Source, table: Table, window: int) -> Source:
    wrong = next((column for column in table.columns if column.kind not in READABLE), None)
    if wrong is not None:
        what = "dates" if wrong.kind == "date" else "words"
        named = f" Name it with --time, or leave it out with --columns {wrong.name}:out." if wrong.kind == "date" else (
            f" Leave it out with --columns {wrong.name}:out, or name it with --group.")
        raise InputError(f"{source.name}: expected a series of numbers; the column '{wrong.name}' holds {what}.{named}")
    rows = torch.stack([column.values.double() for column in table.columns], 1)            # (t, d)
    form = Form(table.names, *(None if source.origin.get(role) is None else str(source.origin[role]) for role in ("time", "group")))
    if source.groups is not None:
        return _grouped(source, rows, form)
    if source.times is not None:
        order = source.times.argsort(stable=True)
        return _windowed(source, rows[order], form, window)
    note = f"{source.name}: rows are taken for the steps of one series in the order of the file; --time names a column to order them by."
    return replace(_windowed(source, rows, form, window), notes=(*source.notes, note))


def _grouped(source: Source, rows: Tensor, form: Form) -> Source:
    """A sequence for each group."""
    order = torch.arange(len(rows)) if source.times is None else source.times.argsort(stable=True)
    names, group = source.groups[order].unique(return_inverse=True)                       # (groups,), (t,)
    sequences = [rows[order[group == number]] for number in range(len(names))]
    values, _ = pad(sequences, fill=float("nan"))
    return replace(_as_series(source, Series(values, form)), times=None)


def _windowed(source: Source, rows: Tensor, form: Form, window: int) -> Source:
    """Windows one after the other, the last filled up."""
    missing = -len(rows) % window
    filled = torch.nn.functional.pad(rows, (0, 0, 0, missing), value=float("nan"))
    values = filled.unflatten(0, (-1, window))                                             # (n, window, d)
    return replace(_as_series(source, Series(values, form)), times=torch.arange(len(values)))


def _as_series(source: Source, series: Series) -> Source:
    """The source with a series as its inputs, and nothing of the rows that it was made of beside them."""
    return replace(source, inputs=series, targets=None, target_kind="none", classes=(), groups=None, weights=None, formats={}, labels={},
                   target_names=())
