"""One door in: named sets, files, folders, arrays and frames all become a Source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.places import expanded
from chainrule.core.registry import datasets
from chainrule.data import array_sources, fingerprint, pictures
from chainrule.data.column_names import listed
from chainrule.data.encode.columns import Table
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.encode.lagged import Lagged, Lagging
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.formats import Format
from chainrule.data.new_rows import known_of, reading_of
from chainrule.data.readers import (
    arrays,
    catalog,
    cifar,
    contacts,
    damaged,
    fasta,
    idx,
    images,
    objects,
    pairs,
    picture_list,
    series,
    svhn,
    tables,
    text,
)
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.gzipped import stem_of, suffix_of
from chainrule.data.readers.paths import existing
from chainrule.data.readers.table_files import SUFFIXES as TABLES
from chainrule.data.readers.table_files import read_file
from chainrule.data.readers.table_roles import NO_ROLES, Roles, Target, source_of
from chainrule.data.readers.tables import Known, Typed
from chainrule.data.reading import USUAL, Reading
from chainrule.data.source import Source
from chainrule.data.storage import packing
from chainrule.data.storage.stored import StoredTable

FRAME = "the data frame"
SYMBOLS = (".txt", *fasta.SUFFIXES)
READ = (*TABLES, *SYMBOLS, ".npz", ".npy", ".bin", ".mat")


def load(what: Any = "digits", y: Any = None, *, target: str | int | Sequence[str] | None = None, data_dir: str | Path | None = None,
         group: str | int | None = None, time: str | int | None = None, weight: str | int | None = None,
         name: str | None = None, stream: bool | None = None,
         reading: Reading = USUAL, say: Callable[[str], None] = to_stderr) -> Source:
    """The source that `what` is: a named set, a file, a folder, a frame, an array, a tensor, a sparse matrix, a dict of columns, a list of
    records, or inputs of these with targets `y` apart.

    `target`, `group`, `time` and `weight` name columns of a table (or number them from 0); `target="none"` is a table without one, and
    several targets stand in a list, or with commas between them.
    `data_dir` is where named sets are sought first. `stream` says whether the rows of a Parquet file, an .npy file or a folder of
    images stay on disk; left open, they do where they would fill more than a quarter of the free memory. `reading` says how the values
    of a table are written; what it leaves open is decided from them, and noted in the source. `say` is told of downloads and of
    packing. Raises InputError, CorruptFile.

    >>> import chainrule as cr
    >>> source = cr.load("digits")
    >>> len(source), source.inputs.shape[1:], source.classes[:3]
    (1797, torch.Size([1, 8, 8]), ('0', '1', '2'))
    >>> cr.load(([[0.0], [1.0]], [5.5, 7.0])).targets.flatten().tolist()
    [5.5, 7.0]
    """
    if y is not None:
        what = paired(what, y)
    if isinstance(what, Source):
        return what
    roles, target = Roles(group, time, weight), listed(target)
    if isinstance(what, (str, Path)):
        source = _of_text(what, target, data_dir, roles, stream, reading, say)
    else:
        source = _of_memory(what, target, roles, reading)
    about_tables = replace(reading, resize=None, skip_bad=False, tokens=None)
    if isinstance(source.inputs, Lagged):
        source = series.as_asked(source, reading)
        about_tables = replace(about_tables, horizon=None, lags=None) if source.origin["kind"] == "named" else USUAL
    else:
        series.refuse_options(source, reading)
    if about_tables != USUAL and source.origin.get("files") is None and not isinstance(source.inputs, Table | StoredTable):
        flags = ", ".join(f"--{key.replace('_', '-')}" for key in about_tables.to_json())
        raise InputError(f"{source.name} is no table; {flags} {'are' if ',' in flags else 'is'} for tables ({' '.join(TABLES)} or a data "
                         "frame). Leave it out.")
    for name_of_option in ("resize", "skip_bad"):
        if name_of_option in reading.to_json() and name_of_option not in source.origin.get("reading", {}):
            raise InputError(f"{source.name} is no folder or list of pictures; --{name_of_option.replace('_', '-')} is for these. Leave it "
                             "out.")
    if reading.tokens is not None and not (isinstance(source.inputs, Symbols) and source.inputs.of_text):
        raise InputError(f"{source.name} is no text; --tokens is for these (.txt). Leave it out.")
    origin = {"kind": "memory", "what": source.name, "target": None, **NO_ROLES._asdict(), **source.origin}
    return Source(**{**vars(source), "origin": origin, "name": name or source.name})


def paired(what: Any, y: Any) -> Any:
    """Inputs with the targets that were given apart from them; what came where none were. Raises InputError where it has its own."""
    if y is None:
        return what
    if isinstance(what, str | Path | Source) or (isinstance(what, tuple) and len(what) == 2):
        raise InputError(f"y goes with inputs in memory; {what if isinstance(what, str | Path) else 'the data'} has targets of its own. "
                         "Leave y out, or name a column with target=.")
    return what, y


def load_inputs(what: Any, *, like: InputEncoder, target: tuple[str, ...] = (), data_dir: str | Path | None = None,
                say: Callable[[str], None] = to_stderr) -> Source:
    """Rows for a net trained on what `like` encodes, read as that was.

    The columns `target` may be absent or have gaps, and there are then no targets.
    """
    reading, known = reading_of(like), known_of(like)
    of_table = like.kind == "table" or bool(like.column)
    if isinstance(what, (str, Path)) and not datasets.called(what):
        path = existing(what)
        if of_table and path.is_file() and suffix_of(path) in TABLES:
            origin = {"kind": "file", "what": str(path.absolute())}
            return _table_file(path, origin, target, NO_ROLES, None, reading, say, known)
        if like.series is not None and path.is_file() and suffix_of(path) in TABLES:
            return series_like(read_file(path, reading), path, like)
        if like.lagging is not None and path.is_file() and suffix_of(path) in TABLES:
            return _table(read_file(path, reading, known), str(path), {"kind": "file"}, (), NO_ROLES, reading, form=like.lagging)
        if like.kind == "symbols" and path.is_file() and suffix_of(path) in (*SYMBOLS, *pairs.SUFFIXES):
            return _symbols(path, None, like)
        channels: Any = like.picture_shape[0] if like.picture_shape else None
        if channels is not None:
            same = Reading(resize=f"{like.shape[1]}x{like.shape[2]}" if "resize" in like.reading else None,
                           skip_bad=bool(like.reading.get("skip_bad")))
            if path.is_file() and images.is_image(path):
                pixels = images.read([path], channels, same.size)
                return replace(pictures.source(pixels, None, (), path, "file"), labels=pictures.labels_of([path], [path.name], same.size))
            if path.is_dir():
                return catalog.known_folder(path) or pictures.folder(path, channels, None, same, say, shrink=False, targets=False)
            if suffix_of(path) in TABLES:
                return _named_pictures(path, channels, same)
        return _without_targets(what, like, data_dir, say)
    if like.lagging is not None and not isinstance(what, str | Path | Source):
        frame = tables.typed(objects.plain(what, FRAME), FRAME, reading, known, wordy=False)
        return _table(frame, FRAME, {"kind": "memory", "what": "frame"}, target, NO_ROLES, reading, form=like.lagging)
    if of_table:
        what = objects.plain(what, FRAME)
        if tuple(like.column_kinds) == objects.numbered(len(like.column_kinds)):
            what = objects.as_numbered(what)
    elif not isinstance(what, str | Path | Source):
        what = objects.with_means(objects.plain(what, "the rows", gaps=False), like, say)
    if of_table and tables.is_frame(what):
        frame = tables.typed(what, FRAME, reading, known, wordy=False)
        return _table(frame, FRAME, {"kind": "memory", "what": "frame"}, target, NO_ROLES, reading, lenient=True)
    return _without_targets(what, like, data_dir, say)


def series_like(typed: Typed, path: Path, like: InputEncoder) -> Source:
    """The columns of a table that are the steps of a series, in order and in groups as those of training were."""
    assert like.series is not None
    form = like.series
    roles = Roles(group=form.group, time=form.time)
    wanted = [name for name in (*form.names, form.time, form.group) if name is not None]
    missing = [name for name in wanted if name not in typed.table.names]
    if missing:
        raise InputError(f"{path} has no column '{missing[0]}', which the series of training had. Give a table with it.")
    table = Table(tuple(typed.table[name] for name in wanted))
    origin = {"kind": "file", "what": str(path.absolute())}
    return _table(replace(typed, table=table), str(path), origin, "none", roles, USUAL, lenient=True)


def _without_targets(what: Any, like: InputEncoder, data_dir: str | Path | None, say: Callable[[str], None]) -> Source:
    """Rows of an array; of one that has its targets among the columns, as the array that was trained on had, those taken out."""
    source = load(what, data_dir=data_dir, say=say)
    if like.lagging is not None and isinstance(source.inputs, Lagged):
        return series.cut(source, like.lagging.horizon, like.lagging.lags)
    column = like.apart[0] if like.kind in ("array", "codes", "pixels") and len(like.shape) == 1 and like.apart else ""
    if column.lstrip("-").isdigit() and tuple(source.inputs.shape[1:]) == (like.shape[0] + 1,):
        return load(what, target=int(column), data_dir=data_dir, say=say)
    return source


def describe_source(source: Source) -> dict[str, Any]:
    """Name, number of rows, shape of a row (or number of columns), class names and task, for people and for JSON."""
    shape = [len(source.inputs.columns)] if isinstance(source.inputs, Table | StoredTable) else list(source.inputs.shape[1:])
    return {"name": source.name, "n": len(source), "inputs": shape, "classes": list(source.classes), "task": source.target_kind}


def _of_text(what: str | Path, target: str | int | None, data_dir: str | Path | None, roles: Roles, stream: bool | None,
             reading: Reading, say: Callable[[str], None]) -> Source:
    if isinstance(what, str) and datasets.called(what):
        if target is not None or any(role is not None for role in roles):
            raise InputError(f"{what} has its own target and no further columns; --target, --group, --time and --weight are for tables. "
                             "Leave them out.")
        source = datasets.choose(what).make(data_dir, say)
        folder = {"data_dir": str(expanded(data_dir).absolute())} if data_dir is not None else {}
        return Source(**{**vars(source), "origin": {**source.origin, **folder}})
    path = existing(what)
    if path.is_dir():
        _refuse_roles(roles, f"{path} is a folder and has")
        known = catalog.known_folder(path)
        if known is not None:
            return known
        if (chains := contacts.find(path)) is not None:
            return contacts.source(path, chains)
        return pictures.folder(path, None, stream, reading, say)
    origin = {"kind": "file", "what": str(path.absolute())}
    suffix = suffix_of(path)
    if not path.stat().st_size:
        raise InputError(f"{path} is empty (0 bytes). Fetch or write it again.")
    if suffix in pairs.SUFFIXES and target is None and not any(roles) and pairs.holds_pairs(path):
        return _symbols(path, None, reading=reading)
    if suffix in TABLES:
        return _table_file(path, origin, target, roles, stream, reading, say)
    _refuse_roles(roles, f"{path} has")
    if suffix in SYMBOLS:
        return _symbols(path, target, reading=reading)
    if suffix == ".npy":
        return array_sources.of_file(path, origin, target, stream)
    if suffix == ".npz":
        values, labels, parts = arrays.roles(arrays.read_npz(path), path, target)
        return array_sources.of_array(values, labels, str(path), stem_of(path), origin, target if isinstance(target, int) else None, parts)
    if idx.is_idx(path):
        return array_sources.of_idx(path, origin)
    if suffix == ".bin":
        pixels, y, _ = cifar.read([path])
        return pictures.source(pixels, y, tuple(map(str, range(10 if cifar.layout(path) == 1 else 100))), path, "file")
    if suffix == ".mat":
        pixels, y, _ = svhn.read([path])
        return pictures.source(pixels, y, catalog.DIGITS, path, "file")
    if images.is_image(path):
        return pictures.source(images.read([path], None, reading.size), None, (), path, "file", reading=reading)
    raise InputError(f"{path} is of no kind that chainrule reads; expected {' '.join(READ)} (also packed as .gz or .zip), IDX, a folder of "
                     "images, or a named set.")


def _symbols(path: Path, target: str | int | None, like: InputEncoder | None = None, reading: Reading = USUAL) -> Source:
    """A text, each symbol of which is to be named from those before it, or sequences, with classes where their headers say them.

    With `like`, rows to predict: a text in windows as that one encodes, without targets; sequences whose classes may have gaps, and sources
    whose targets may be absent.
    """
    if target not in (None, "none"):
        raise InputError(f"{path} has no columns; --target {target} is for tables. Leave it out, or write --target none.")
    origin: dict[str, Any] = {"kind": "file", "what": str(path.absolute())}
    name = stem_of(path)
    if suffix_of(path) in fasta.SUFFIXES:
        return fasta.source(path, suffix_of(path), origin=origin, name=name, targets=target is None, lenient=like is not None)
    if suffix_of(path) in pairs.SUFFIXES:
        return pairs.source(path, origin=origin, name=name, targets=target is None and like is None)
    content = text.read(path)
    if like is not None and like.vocabulary is not None:
        known, context = like.vocabulary, 1 if like.stride == like.shape[0] else like.shape[0]
        return text.source(content, str(path), name=name, origin=origin, context=context, unit=known.unit, targets=False,
                           merges=known.merges)
    unit, most = reading.unit
    origin |= {"reading": {"tokens": reading.tokens}} if reading.tokens is not None else {}
    return text.source(content, str(path), name=name, origin=origin, unit=unit, most=most, targets=target is None)


def _refuse_roles(roles: Roles, what: str) -> None:
    """Raises InputError where a role is given; `what` says who has no columns to play it."""
    for role, column in roles._asdict().items():
        if column is not None:
            instead = "Leave it out" + (", or in Python give weights=, a number for each row." if role == "weight" else ".")
            raise InputError(f"{what} no columns with names; --{role} needs a table ({' '.join(TABLES)} or a data frame). {instead}")


def _table_file(path: Path, origin: dict[str, Any], target: Target, roles: Roles, stream: bool | None,
                reading: Reading, say: Callable[[str], None], known: Known | None = None) -> Source:
    """The source of a table on disk; with `known`, rows to predict, whose target may be absent or have gaps."""
    lenient = known is not None
    stored = packing.parquet(path, stream, say) if path.suffix.lower() == ".parquet" and reading.horizon is None else None
    if stored is None:
        typed = read_file(path, reading, known)
        apart = {str(column) for column in (target, *roles) if column is not None} | set(reading.kinds(typed.table.names, str(path)))
        if not lenient and reading.horizon is None and (name := picture_list.file_column(typed.table, path.parent, apart)) is not None:
            return _list_of_pictures(path, origin, name, target, roles, stream, reading, say)
        source = _table(typed, str(path), origin, target, roles, reading, lenient)
        if target is None and source.targets is not None:
            say(f"{source.name}: '{source.origin['target']}' is what is predicted; name another column with --target.")
        return source
    table, sha256 = stored
    kinds = reading.kinds(table.names, str(path))
    unlike = next((name for name, kind in kinds.items() if kind != "out"), None)
    if unlike is not None and not lenient:
        raise InputError(f"{path}: --columns {unlike}:{kinds[unlike]} cannot change a column of a table that stays on disk. Write the "
                         f"file with that column as {kinds[unlike]}s.")
    source = source_of(table, str(path), name=stem_of(path), origin={**origin, "streamed": True}, fingerprint=lambda *_: "",
                       target=target, roles=roles, lenient=lenient, reading=reading,
                       formats=dict.fromkeys(kinds, Format("out")))
    given_roles = {role: source.origin[role] for role in ("target", "group", "time")}
    given_roles |= {} if source.weights is None else {"weight": source.origin["weight"]}
    given_roles |= {"reading": source.origin["reading"]} if "reading" in source.origin else {}
    return replace(source, fingerprint=fingerprint.of_file(sha256, **given_roles))


def _list_of_pictures(path: Path, origin: dict[str, Any], name: str, target: Target, roles: Roles, stream: bool | None,
                      reading: Reading, say: Callable[[str], None]) -> Source:
    """A table whose column `name` names pictures, which are its inputs; its target and roles are the table's."""
    exact = replace(reading, columns=",".join(filter(None, (reading.columns, f"{name}:exact"))))
    listed = _table(read_file(path, exact), str(path), origin, target, roles, exact)
    paths, words = picture_list.files_of(listed.inputs, name, path)
    left_out: tuple[str, ...] = ()
    if reading.skip_bad:
        rows, left_out = damaged.sound(paths, path.parent)
        paths, words = [paths[row] for row in rows.tolist()], [words[row] for row in rows.tolist()]
        listed = _at(listed, rows)
    size, sized, notes = pictures.size_for(paths, reading)
    stored = packing.pictures(path, paths, listed.targets, listed.classes, None, size, stream, say)
    x = images.read(paths, None, size) if stored is None else stored[0]
    digest = stored[1] if stored else fingerprint.of(x, listed.targets, listed.classes, listed.groups, listed.times, listed.weights)
    others = [repr(other) for other in listed.inputs.names if other != name]
    rest = f"; {', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} passed over" if others else ""
    notes = (f"the pictures that '{name}' names are the inputs{rest}.", *left_out, *notes)
    origin = {**listed.origin, "reading": sized.to_json(), "files": name} | ({"streamed": True} if stored else {})
    return replace(listed, inputs=x, origin=origin, fingerprint=digest, formats={}, notes=notes, labels={"file": words})


def _at(listed: Source, rows: Tensor) -> Source:
    """The same with these rows of its table alone."""
    targets, groups, times, weights = (None if t is None else t[rows]
                                       for t in (listed.targets, listed.groups, listed.times, listed.weights))
    return replace(listed, inputs=listed.inputs.take(rows), targets=targets, groups=groups, times=times, weights=weights)


def _named_pictures(path: Path, channels: Any, reading: Reading) -> Source:
    """The pictures that a table names, for a net that reads such pictures."""
    table = read_file(path).table
    name = picture_list.file_column(table, path.parent)
    if name is None:
        raise InputError(f"{path} has no column of names of pictures that lie beside it; the network reads pictures. Give such a list, a "
                         "folder of pictures, or one picture.")
    paths, words = picture_list.files_of(read_file(path, Reading(columns=f"{name}:exact")).table, name, path)
    labels = pictures.labels_of(paths, words, reading.size)
    return replace(pictures.source(images.read(paths, channels, reading.size), None, (), path, "file"), labels=labels)


def _table(typed: Typed, where: str, origin: dict[str, Any], target: Target, roles: Roles, reading: Reading,
           lenient: bool = False, form: Lagging | None = None) -> Source:
    name = stem_of(Path(where)) if origin["kind"] == "file" else origin["what"]
    if reading.horizon is not None:
        source = series.of_table(typed, where, name=name, origin=origin, target=target, roles=roles, reading=reading, form=form)
        return replace(source, labels=typed.labels)
    source = source_of(typed.table, where, name=name, origin=origin, fingerprint=fingerprint.of, target=target, roles=roles,
                       lenient=lenient, formats=typed.formats, notes=typed.notes, reading=reading)
    return replace(source, labels=typed.labels)


def _of_memory(what: Any, target: str | int | None, roles: Roles, reading: Reading) -> Source:
    if isinstance(what, tuple) and len(what) == 2:
        _refuse_roles(roles, "inputs and targets that are given apart have")
        inputs, y = objects.plain(what[0], "the inputs"), what[1]
        if tables.is_frame(inputs) and getattr(inputs, "ndim", 2) == 2:
            return _frame_and_targets(inputs, y, reading)
        return array_sources.of_array(inputs, y, "the arrays", "arrays", {"kind": "memory", "what": "arrays"})
    what = objects.plain(what, "the data")
    if tables.is_frame(what):
        return _table(tables.typed(what, FRAME, reading, wordy=False), FRAME, {"kind": "memory", "what": "frame"}, target, roles, reading)
    if isinstance(what, (np.ndarray, Tensor)):
        _refuse_roles(roles, "an array has")
        return array_sources.of_array(what, None, "the array", "array", {"kind": "memory", "what": "array"}, target)
    raise InputError(f"cannot load a {type(what).__name__}; expected a named set, a path, an array, a data frame, a dict of "
                     "columns, a list of records, a sparse matrix, or (inputs, targets).")


def _frame_and_targets(inputs: Any, y: Any, reading: Reading) -> Source:
    frame = tables.typed(inputs, FRAME, reading, wordy=False)
    alone = _table(frame, FRAME, {"kind": "memory", "what": "frame"}, "none", NO_ROLES, reading)
    (task, labels, classes), names = array_sources.of_targets(y, len(alone), "the targets")
    return replace(alone, origin={**alone.origin, "target": ",".join(names) or None}, targets=labels, target_kind=task, classes=classes,
                   fingerprint=fingerprint.of(alone.inputs, labels, classes), target_names=names)
