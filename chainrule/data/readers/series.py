"""A table whose rows follow one another in time as a series: stamps checked, gaps closed or named, columns that tell the future refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.text import counted
from chainrule.data import fingerprint
from chainrule.data.clock import NEAR, Clock
from chainrule.data.encode.columns import Column, Table
from chainrule.data.encode.lagged import Lagged, Lagging, usual_lags
from chainrule.data.formats import Format
from chainrule.data.readers.table_roles import Roles, Target, row_names, targets_of
from chainrule.data.readers.tables import Typed
from chainrule.data.reading import USUAL, Reading
from chainrule.data.source import Source

WAYS_OUT = "write --fill forward or --fill linear"
MOST_FILLED = 20         # times as many steps as rows: above, the usual distance of stamps is none
ALIKE = 1e-9             # of a correlation, short of one


def of_table(typed: Typed, where: str, *, name: str, origin: dict[str, Any], target: Target, roles: Roles, reading: Reading,
             form: Lagging | None = None) -> Source:
    """The series that a table holds, cut into windows. With `form`, further steps for a net that reads such windows.

    Raises InputError naming the row of a stamp that is missing, repeated or out of step and of a value that is absent, where nothing says
    how to close the gap, and for columns that are the target some steps later.
    """
    _refuse(roles, where)
    table = typed.table.without(n for n, format in typed.formats.items() if format.kind == "out" and n not in _named(form))
    notes = list(typed.notes)
    stamp = _stamp(table, where, roles.time if form is None else form.clock.name or None, notes)
    rest = table if stamp is None else table.without([stamp.name])
    formats: Mapping[str, Format] = typed.formats
    if form is None:
        targets = targets_of(table, where, target if target is not None else _only_number(rest))
        others, formats, remarks = _others(rest, {column.name for column in targets}, typed.formats, reading, where)
        notes += remarks
    else:
        targets, others = (tuple(rest.find(n, where, "the trained column") for n in names) for names in (form.targets, form.others))
    _refuse_words((*targets, *others), stamp, where)
    values = torch.stack([column.values for column in (*targets, *others)], 1)                      # (t, d)
    stamps = torch.arange(1, len(table) + 1, dtype=torch.float64) if stamp is None else stamp.values
    rows = torch.arange(len(table))
    if stamp is not None:
        rows = _in_order(stamp, where, notes)
        stamps, values = stamps[rows], values[rows]
    if form is not None:
        known = (~values[:, : len(targets)].isnan()).any(1).nonzero()[:, 0]
        last = int(known[-1]) + 1 if len(known) else 0
        stamps, values, rows = stamps[:last], values[:last], rows[:last]
    dates = stamp is not None and stamp.kind == "date"
    clock = Clock.of("" if stamp is None else stamp.name, stamps, dates) if form is None else form.clock
    fill = reading.fill if form is None else form.fill
    names = tuple(column.name for column in (*targets, *others))
    stamps, values = _regular(clock, stamps, values, rows, names, fill, where, notes)
    if form is None:
        form = _form(clock, stamps, targets, others, reading)
        if reading.lags is None:
            notes.append(f"{form.lags} steps are read before each origin; --lags says how many else.")
        _refuse_future(values, form, where)
    series = Lagged.of(values, stamps, form)
    if stamp is None:
        notes.append("the rows have no stamps and are taken to follow one another in equal steps; --time names a column of stamps.")
    about = {**origin, "target": ",".join(form.targets), "time": clock.name or None, "group": None, "weight": None,
             "reading": reading.to_json()}
    return as_source(series, name, about, formats=formats, notes=tuple(notes))


def as_source(series: Lagged, name: str, origin: dict[str, Any], *, formats: Mapping[str, Format] | None = None,
              notes: tuple[str, ...] = ()) -> Source:
    """A series as a source: a row for each origin, whose targets are the steps after it, in their order."""
    form = series.form
    digest = fingerprint.of(series.values, None, (*form.names, form.clock.name, f"{form.horizon} ahead"), times=series.stamps)
    targets = series.ahead() if len(series) else None
    return Source(name, series, targets, "none" if targets is None else "real", origin, digest, times=series.stamps[series.origins],
                  formats=dict(formats or {}), notes=notes, target_names=form.answers)


def cut(source: Source, horizon: int | None, lags: int | None) -> Source:
    """A source that holds a series, cut otherwise. Raises InputError where that is longer than the series."""
    series = source.inputs.cut(horizon, lags)
    check_length(series, source.name)
    return replace(as_source(series, source.name, dict(source.origin), notes=source.notes), formats=source.formats)


def as_asked(source: Source, reading: Reading) -> Source:
    """A source that holds a series; a named one with the horizon and the lags that are asked for. Raises InputError for one too short."""
    if source.origin["kind"] == "named" and (reading.horizon, reading.lags) != (None, None):
        asked = replace(USUAL, horizon=reading.horizon, lags=reading.lags).to_json()
        return replace(cut(source, reading.horizon, reading.lags), origin={**source.origin, "reading": asked})
    check_length(source.inputs, source.name)
    return source


def refuse_options(source: Source, reading: Reading) -> None:
    """Raises InputError for options of a series where there is none."""
    if reading.horizon is None and (reading.lags is not None or reading.fill is not None):
        raise InputError(f"--{'lags' if reading.lags is not None else 'fill'} is for a series; {source.name} is not read as one. Say how "
                         "many steps ahead are to be foretold with --horizon, or leave it out.")


def check_length(series: Lagged, where: str) -> None:
    """Raises InputError for a series that is shorter than what is read of it and what is foretold."""
    form, steps = series.form, len(series.values)
    if steps < form.lags + form.horizon:
        raise InputError(f"{where} has {steps:,} steps; {form.lags} lags and a horizon of {form.horizon} need at least "
                         f"{form.lags + form.horizon:,}. Give a longer series, or lower --lags or --horizon.")


def _form(clock: Clock, stamps: Tensor, targets: tuple[Column, ...], others: tuple[Column, ...], reading: Reading) -> Lagging:
    """How a series is read that is to be trained on."""
    assert reading.horizon is not None
    return Lagging(tuple(c.name for c in targets), tuple(c.name for c in others), clock, reading.lags or usual_lags(clock, len(stamps)),
                   reading.horizon, clock.parts(stamps), reading.fill)


def _named(form: Lagging | None) -> tuple[str, ...]:
    return () if form is None else (form.clock.name, *form.targets, *form.others)


def _refuse(roles: Roles, where: str) -> None:
    for role, why in (("group", "several series are columns side by side, or files of their own"), ("weight", "all steps count alike")):
        if getattr(roles, role) is not None:
            raise InputError(f"{where} is read as one series, since --horizon is given, and has no --{role}: {why}. Leave one of the two "
                             "out.")


def _stamp(table: Table, where: str, time: str | int | None, notes: list[str]) -> Column | None:
    """The column of stamps: the one that is named, else the only one of dates."""
    if time is not None:
        return table.find(time, where, "--time")
    dates = [column for column in table.columns if column.kind == "date"]
    if len(dates) != 1:
        return None
    notes.append(f"'{dates[0].name}' holds dates and is taken for the stamps of the series.")
    return dates[0]


def _only_number(table: Table) -> str | None:
    """The name of the only column of numbers, None where there are several."""
    numbers = [column.name for column in table.columns if column.kind == "numeric"]
    return numbers[0] if len(numbers) == 1 else None


def _others(rest: Table, targets: set[str], formats: Mapping[str, Format], reading: Reading,
            where: str) -> tuple[tuple[Column, ...], Mapping[str, Format], list[str]]:
    """The columns that are read beside the targets, formats that say which are left out, and what is said of these."""
    free = rest.without(targets)
    left_out = row_names(free, formats, reading.kinds(rest.names, where))
    for column in free.columns:
        if column.kind not in ("numeric", "boolean") and column.name not in left_out:
            what = "dates" if column.kind == "date" else f"words such as '{column.word(0)}'" if len(column) else "words"
            left_out[column.name] = f"'{column.name}' holds {what}, which a series is not read with, and is left out."
        elif bool(column.missing.all()):
            left_out[column.name] = f"'{column.name}' is empty and is left out."
    return free.without(left_out).columns, {**formats, **dict.fromkeys(left_out, Format("out"))}, list(left_out.values())


def _refuse_words(columns: tuple[Column, ...], stamp: Column | None, where: str) -> None:
    for column in columns:
        if stamp is not None and column.name == stamp.name:
            raise InputError(f"{where}: '{column.name}' holds the stamps of the series and cannot be foretold as well. Name another column "
                             "with --target.")
        if column.categories or column.kind == "date":
            what = "dates" if column.kind == "date" else "words"
            raise InputError(f"{where}: a series foretells numbers, and '{column.name}' holds {what} such as '{column.word(0)}'. Name a "
                             "column of numbers with --target.")


def _in_order(stamp: Column, where: str, notes: list[str]) -> Tensor:
    """The rows (t,) in order of their stamps. Raises InputError for stamps that are missing, repeated, or words."""
    if stamp.categories:
        raise InputError(f"{where}: the time column '{stamp.name}' holds words such as '{stamp.word(0)}'; expected numbers or dates like "
                         "2026-01-31.")
    if bool(stamp.missing.any()):
        row = int(stamp.missing.nonzero()[0, 0])
        raise InputError(f"{where}, row {row + 1}: the stamp '{stamp.name}' is empty; every step of a series needs one. Fill it, or remove "
                         "the row.")
    values, order = stamp.values.sort(stable=True)
    twice = (values.diff() == 0).nonzero()[:, 0]
    if len(twice):
        first, again = int(order[twice[0]]), int(order[twice[0] + 1])
        raise InputError(f"{where}, row {again + 1}: the stamp {stamp.word(again)} is there twice (row {first + 1} has it too; "
                         f"{len(twice)} repeated in all). Keep one row for each stamp, such as their sum or mean; several "
                         "series are columns side by side.")
    out_of_place = (stamp.values.diff() < 0).nonzero()[:, 0]
    if len(out_of_place):
        notes.append(f"the rows are not in order of '{stamp.name}' (row {int(out_of_place[0]) + 2} is the first that comes before the one "
                     "above it) and were sorted.")
    return order


def _regular(clock: Clock, stamps: Tensor, values: Tensor, rows: Tensor, names: tuple[str, ...], fill: str | None, where: str,
             notes: list[str]) -> tuple[Tensor, Tensor]:
    """Stamps (m,) in regular steps and their values (m, d), gaps closed as `fill` says. Raises InputError naming a gap where it is None."""
    if not len(stamps):
        raise InputError(f"{where} has no row with a value of {names[0]}; expected the steps of a series.")
    places = clock.places(stamps)
    apart = places.diff()
    off = ((apart - apart.round()).abs() > NEAR) | (apart.round() < 1)
    if fill is None:
        _refuse_gaps(clock, stamps, apart, off, rows, where)
        _refuse_missing(values, rows, names, where)
        return stamps, values
    regular = clock.between(float(stamps[0]), float(stamps[-1]))
    if len(regular) > MOST_FILLED * len(stamps):
        raise InputError(f"{where}: the {len(stamps):,} stamps span {len(regular):,} steps of {clock.apart}, most of which would be "
                         "filled. Bring the series to regular steps first.")
    grid = clock.places(regular)
    filled = torch.stack([_filled(places, values[:, i], grid, fill, f"{where}: '{name}'") for i, name in enumerate(names)], 1)
    present = (grid[:, None] - places[None, :]).abs().amin(1) <= NEAR if len(grid) * len(places) < 10**8 else torch.isin(
        grid.round(), places.round())
    gaps, holes = int((~present).sum()), int(values.isnan().any(1).sum())
    if gaps or holes:
        notes.append(f"{gaps + holes:,} of {len(grid):,} steps were missing or lacked a value and were filled ({fill}).")
    return regular, filled


def _filled(places: Tensor, values: Tensor, grid: Tensor, fill: str, what: str) -> Tensor:
    """Values (m,) at the places of a grid, of those that are known."""
    known = ~values.isnan()
    if not bool(known.any()) or float(places[known][0]) > float(grid[0]) + NEAR:
        raise InputError(f"{what} has no value at the first step, from which --fill could go on. Leave out the rows before its first "
                         "value.")
    x, y = places[known].numpy(), values[known].numpy()
    if fill == "forward":
        return torch.from_numpy(y[np.searchsorted(x, grid.numpy() + NEAR, side="right") - 1])
    if float(places[known][-1]) < float(grid[-1]) - NEAR:
        raise InputError(f"{what} has no value at the last step, to which a line could lead. Leave out the rows after its last value, or "
                         "write --fill forward.")
    return torch.from_numpy(np.interp(grid.numpy(), x, y))


def _refuse_gaps(clock: Clock, stamps: Tensor, apart: Tensor, off: Tensor, rows: Tensor, where: str) -> None:
    """Raises InputError naming the first stamp that does not come a step after the one before it."""
    wrong = (off | (apart.round() != 1)).nonzero()[:, 0]
    if not len(wrong):
        return
    at = int(wrong[0])
    place = f"{where}, row {int(rows[at + 1]) + 1}: {clock.word(float(stamps[at + 1]))}"
    before = clock.word(float(stamps[at]))
    if bool(off[at]):
        raise InputError(f"{place} is no whole number of steps after {before}, where most are {clock.apart} apart. Bring the series to "
                         f"regular steps, or {WAYS_OUT} to have it read at these.")
    missing = int((apart.round() - 1).clamp(min=0)[~off].sum())
    raise InputError(f"{place} comes {int(apart[at].round())} steps of {clock.apart} after {before}; {missing:,} stamp"
                     f"{' is' if missing == 1 else 's are'} missing in all. Add their rows, or {WAYS_OUT}.")


def _refuse_missing(values: Tensor, rows: Tensor, names: tuple[str, ...], where: str) -> None:
    missing = values.isnan()
    if not bool(missing.any()):
        return
    at, column = missing.nonzero()[0].tolist()
    count = int(missing.any(1).sum())
    raise InputError(f"{where}, row {int(rows[at]) + 1}: '{names[column]}' is empty; a series needs a value at every step ({count:,} of "
                     f"{len(values):,} rows lack one). Fill it, or {WAYS_OUT}.")


def _refuse_future(values: Tensor, form: Lagging, where: str) -> None:
    """Raises InputError for a column that is, but for scale, a target some steps later than its own row."""
    k = len(form.targets)
    for i, name in enumerate(form.others):
        for j, target in enumerate(form.targets):
            for steps in range(1, min(form.horizon, len(values) // 2) + 1):
                later, now = values[steps:, j], values[:-steps, j]
                if _same(values[:-steps, k + i], later) and not _same(now, later):
                    raise InputError(f"{where}: '{name}' is '{target}' {counted(steps, 'step')} later, which nobody knows at the "
                                     f"time of a forecast. Leave it out with --columns {name}:out, or move it {steps} rows down or more.")


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two columns (t,) are the same but for scale and centre."""
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return size > 0 and abs(float(a @ b)) >= (1 - ALIKE) * size
