"""Which columns of a table are inputs, target, group, time and weight, and which only number its rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch

from chainrule.core.errors import InputError
from chainrule.data.column_names import places
from chainrule.data.encode.columns import Column, Table
from chainrule.data.encode.targets import of_columns, target_notes
from chainrule.data.formats import Format
from chainrule.data.reading import USUAL, Reading
from chainrule.data.source import Source
from chainrule.data.storage.stored import StoredTable
from chainrule.data.weights import of_column as weights_of

TARGET_NAMES = ("target", "label", "class", "y")
ROW_NAMES = re.compile(r"(?i:unnamed: 0|(?:.*[_ .-])?(?:id|idx|index|row|rowid|row_?names?|rownum|key|nr|no|obs))|.*[a-z]I[dD]|")
FEWEST_ROWS = 10       # of which one can say that a column numbers them


class Roles(NamedTuple):
    """The columns of a table, by name or number, that are neither inputs nor the target."""

    group: str | int | None = None
    time: str | int | None = None
    weight: str | int | None = None


NO_ROLES = Roles()
Target = str | int | tuple[str, ...] | None  # as a user names it, several columns with commas; or the names that a net has learned


def row_names(table: Table | StoredTable, formats: Mapping[str, Format], declared: Collection[str]) -> dict[str, str]:
    """Columns that number or name the rows by a whole number each, as an index does, and what is said of them."""
    notes = {}
    for i, name in enumerate(table.names):
        if not ROW_NAMES.fullmatch(name) or (name == "" and i) or name in declared or (name in formats and formats[name].kind != "number"):
            continue
        column = table[name]
        whole = column.kind == "numeric" and len(column) >= FEWEST_ROWS and bool((column.values == column.values.floor()).all())
        if whole and len(column.values.unique()) == len(column):
            what = f"'{name}'" if name else "The column without a name"
            notes[name] = (f"{what} holds a different whole number in each row, as numbers of rows do, and is left out"
                           f"{f'; --columns {name}:number reads it' if name else ''}.")
    return notes


def source_of(table: Table | StoredTable, where: str, *, name: str, origin: dict[str, Any], fingerprint: Any, target: Target,
              roles: Roles = NO_ROLES, lenient: bool = False, formats: Mapping[str, Format] | None = None, notes: Collection[str] = (),
              reading: Reading = USUAL) -> Source:
    """The source a table makes: target, group, time and weight columns set apart from the inputs, and those that only number the rows.

    `lenient` is for reading rows to predict: a target that is given by its names and is absent, or has gaps, is none.
    """
    formats, remarks, declared = dict(formats or {}), list(notes), reading.kinds(table.names, where)
    wanted = targets_of(table, where, target)
    targets = tuple(column.name for column in wanted)
    apart = {role: table.find(c, where, f"--{role}") for role, c in roles._asdict().items()
             if c is not None and not (lenient and c not in table.names)}
    taken = {c.name for c in apart.values()} | set(targets)
    out = {n for n, format in formats.items() if format.kind == "out"}
    if taken & out:
        raise InputError(f"--columns {min(taken & out)}:out leaves out a column of {where} that --target, --group, --time or --weight "
                         "names. Drop one of the two.")
    if "weight" in apart and apart["weight"].name in targets:
        raise InputError(f"--weight and --target both name the column '{apart['weight'].name}' of {where}; expected a column of its own "
                         "for weights. Name another with --weight, or leave it out.")
    inputs = table.without(taken | out)
    if not lenient:
        numbering = row_names(inputs, formats, declared)
        inputs, remarks = inputs.without(numbering), [*remarks, *numbering.values()]
        formats |= dict.fromkeys(numbering, Format("out"))
    if not inputs.columns:
        series = ". Of a series give earlier values as columns" if "time" in apart else ""
        raise InputError(f"{where} has no input columns left beside {', '.join(sorted(set(table.names)))}; expected at least one{series}.")
    if reading.drop_unlabelled and wanted and not lenient:
        inputs, wanted, apart, dropped = _labelled(inputs, wanted, apart, where)
        remarks += dropped
    for role, column in apart.items():
        if bool(column.missing.any()):
            row = int(column.missing.nonzero()[0, 0])
            raise InputError(f"{where}, row {row + 1}: the {role} column '{column.name}' is empty; every row needs a {role}. Fill or "
                             "remove the row.")
    times = apart.get("time")
    if times is not None and times.categories:
        raise InputError(f"{where}: the time column '{times.name}' holds words such as '{times.word(0)}'; expected numbers or dates "
                         "like 2026-01-31.")
    declared |= {name: "exact" for name in targets if name in formats and formats[name].exact}
    task, values, classes = of_columns(wanted, where, declared)
    remarks += target_notes(wanted, task, declared) if not lenient else []
    if not lenient and task == "real" and not apart and all(column.kind == "date" for column in inputs.columns):
        remarks.append("the inputs are dates alone, and rows are divided at random, so that measures tell how well gaps between known days "
                       "are filled, not how well later ones are foretold; for these give earlier values as columns, and --time.")
    groups = apart["group"].values if "group" in apart else None
    weights = weights_of(apart["weight"], where) if "weight" in apart else None
    names = {role: apart[role].name if role in apart else None for role in ("group", "time", "weight")}
    origin = {**origin, "target": ",".join(targets) or None, **names}
    origin |= {"reading": reading.to_json()} if reading != USUAL else {}
    when = times.values if times else None
    digest = fingerprint(inputs, values, classes, groups, when, weights)
    return Source(name, inputs, values, task, origin, digest, classes, groups=groups, times=when, weights=weights, formats=formats,
                  notes=tuple(remarks), target_names=targets)


def _labelled(inputs: Any, wanted: tuple[Column, ...], apart: dict[str, Column],
              where: str) -> tuple[Any, tuple[Column, ...], dict[str, Column], list[str]]:
    """The rows that have all targets, and a note of how many have not. Raises InputError where rows on disk would have to go."""
    absent = torch.stack([column.missing for column in wanted]).any(0)
    known, lacking = (~absent).nonzero()[:, 0], int(absent.sum())
    names = " or ".join(f"'{column.name}'" for column in wanted)
    if not lacking:
        return inputs, wanted, apart, []
    if not len(known):
        raise InputError(f"{where}: the target {names} is missing in all {len(absent)} rows; there is nothing to learn. Name another with "
                         "--target.")
    if isinstance(inputs, StoredTable):
        raise InputError(f"{where}: --drop-unlabelled cannot leave out rows of a table that stays on disk ({lacking} lack {names}). Write "
                         "the file without them.")
    note = f"{lacking} of {len(absent)} rows have no {names} and were left out; rows are counted without them."
    return inputs.take(known), tuple(c.take(known) for c in wanted), {role: c.take(known) for role, c in apart.items()}, [note]


def targets_of(table: Table | StoredTable, where: str, target: Target) -> tuple[Column, ...]:
    """The columns to predict, in the order in which they are named; none where names that a net has learned are absent or have gaps.

    Raises InputError where a user names none, or one that does not exist.
    """
    if isinstance(target, tuple):
        columns = tuple(table[name] for name in target) if set(target) <= set(table.names) else ()
        return () if any(bool(column.missing.any()) for column in columns) else columns
    if target == "none" and "none" not in table.names:
        return ()
    if target is not None:
        return tuple(table[table.names[at]] for at in places(table.names, target, where, "--target"))
    if table.names[-1].lower() in TARGET_NAMES:
        return (table[table.names[-1]],)
    names = ", ".join(table.names[:20]) + (", ..." if len(table.columns) > 20 else "")
    unnamed = " (the first line holds values, no names)" if table.names[0] == "column_0" else ""
    raise InputError(f"{where}: which column is to be predicted? It has {names}{unnamed}. Name one with --target, or write --target none.")
