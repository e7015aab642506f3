"""Pictures as sources: a few of one size or brought to it, folders of them by class, folders of them with what is marked in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.readers import annotated, boxes, damaged, images, masks
from chainrule.data.readers.annotated import Annotated
from chainrule.data.readers.gzipped import stem_of
from chainrule.data.reading import USUAL, Reading
from chainrule.data.source import Source, TargetKind
from chainrule.data.storage import packing

EXTENTS = ("height", "width")     # of pictures before they were brought to a size


def source(x: Tensor, y: Tensor | None, classes: tuple[str, ...], path: Path, kind: str,
           parts: dict[str, Tensor] | None = None, reading: Reading = USUAL) -> Source:
    """Pictures (n, c, h, w) that are in memory, with class numbers (n,) where they have any."""
    origin = {"kind": kind, "what": str(path.absolute()), **_as_read(reading)}
    task: TargetKind = "none" if y is None else "class"
    name = path.absolute().name if kind == "folder" else stem_of(path)
    return Source(name, x, y, task, origin, fingerprint.of(x, y, classes), classes, parts or {})


def size_for(paths: list[Path], reading: Reading, shrink: bool = True) -> tuple[images.Size | None, Reading, tuple[str, ...]]:
    """The size that pictures are brought to, the reading that asks for it, and what is said where that was not asked for."""
    size = reading.size
    if size is not None or not shrink or (size := images.usual_size(paths)) is None:
        return size, reading, ()
    wide, high = images.size_of(paths[0])
    return size, replace(reading, resize=f"{size[0]}x{size[1]}"), (
        f"pictures of {high} x {wide} (height by width) are shrunk to {size[0]} x {size[1]}; --resize {high}x{wide} reads them whole.",)


def labels_of(paths: list[Path], names: list[str], size: images.Size | None) -> dict[str, list[Any]]:
    """What tells pictures apart: the names of their files and, of those brought to a size, the height and width that they had."""
    if size is None:
        return {"file": names}
    extents = [images.size_of(path) for path in paths]
    return {"file": names, "height": [high for _, high in extents], "width": [wide for wide, _ in extents]}


def folder(path: Path, channels: Any, stream: bool | None, reading: Reading, say: Callable[[str], None], *, shrink: bool = True,
           targets: bool = True) -> Source:
    """A folder of pictures by class, in memory or on disk, or of pictures with masks or boxes; without `targets` the pictures alone."""
    marked = annotated.find(path)
    if marked is not None:
        return _annotated(path, marked, channels, reading, shrink, targets)
    paths, y, classes, parts = images.find(path)
    paths, y, parts, left_out = _decodable(path, paths, y, classes, parts) if reading.skip_bad else (paths, y, parts, ())
    for sentence in left_out if not targets else ():
        say(sentence)
    size, sized, notes = size_for(paths, reading, shrink)
    notes = (*left_out, *notes)
    labels = labels_of(paths, [str(p.relative_to(path)) for p in paths], None if targets else size)
    stored = packing.pictures(path, paths, y, classes, channels, size, stream, say)
    if stored is None:
        return replace(source(images.read(paths, channels, size), y, classes, path, "folder", parts, sized), notes=notes, labels=labels)
    x, digest = stored
    task: TargetKind = "none" if y is None else "class"
    origin = {"kind": "folder", "what": str(path.absolute()), "streamed": True, **_as_read(sized)}
    return Source(path.absolute().name, x, y, task, origin, digest, classes, parts, notes=notes, labels=labels)


def _decodable(path: Path, paths: list[Path], y: Tensor | None, classes: tuple[str, ...],
               parts: dict[str, Tensor]) -> tuple[list[Path], Tensor | None, dict[str, Tensor], tuple[str, ...]]:
    """The pictures that can be decoded, their classes and parts, and what is said of the others.

    Raises InputError where a class has none left, or too many are left out.
    """
    rows, notes = damaged.sound(paths, path)
    if not notes:
        return paths, y, parts, ()
    remaining = None if y is None else y[rows]
    for number, name in enumerate(classes):
        if remaining is not None and not bool((remaining == number).any()):
            raise InputError(f"{path}: no picture of the class '{name}' can be decoded. Replace them, or remove the class.")
    place = torch.full((len(paths),), -1)
    place[rows] = torch.arange(len(rows))
    renumbered = {part: place[at][place[at] >= 0] for part, at in parts.items()}
    return [paths[row] for row in rows.tolist()], remaining, renumbered, notes


def _annotated(path: Path, marked: Annotated, channels: Any, reading: Reading, shrink: bool, targets: bool) -> Source:
    """Pictures with a mask or boxes for each. Raises InputError where there are none."""
    if reading.skip_bad:
        raise InputError(f"{path} has a mask or boxes for each picture, and --skip-bad is for folders of pictures by class. Leave it out, "
                         "and replace pictures that cannot be decoded.")
    several = {folder: images.in_folder(folder / annotated.IMAGES) for _, folder in marked.folders}
    paths = [picture for pictures in several.values() for picture in pictures]
    if not paths:
        raise InputError(f"{path / annotated.IMAGES} holds no pictures; expected {' '.join(images.SUFFIXES[:3])} files.")
    size, sized, notes = size_for(paths, reading, shrink)
    x = images.read(paths, channels, size)
    alone = source(x, None, (), path, "folder", reading=sized)
    labels = labels_of(paths, [str(picture.relative_to(path)) for picture in paths], None if targets else size)
    if not targets:
        return replace(alone, notes=notes, labels=labels)
    y, classes = masks.read(several, x.shape[2:]) if marked.kind == "maps" else boxes.read(several, x.shape[2:])
    of_part = [part for part, folder in marked.folders for _ in several[folder]]
    rows = {part: torch.tensor([i for i, name in enumerate(of_part) if name == part]) for part in ("valid", "test")}
    return replace(alone, targets=y, target_kind=marked.kind, fingerprint=fingerprint.of(x, y, classes), classes=classes, notes=notes,
                   parts={part: at for part, at in rows.items() if len(at)}, labels=labels)


def _as_read(reading: Reading) -> dict[str, Any]:
    return {"reading": reading.to_json()} if reading != USUAL else {}
