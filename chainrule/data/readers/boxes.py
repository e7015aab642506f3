"""Boxes in a table: a line for each, which names its picture, its label and its edges."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from chainrule.core.boxes import Boxes
from chainrule.core.errors import CorruptFile, InputError, suggest
from chainrule.core.text import natural
from chainrule.data.readers import images
from chainrule.data.readers.annotated import BOXES, IMAGES

EDGES = ("x0", "y0", "x1", "y1")
COLUMNS = ("file", "label", *EDGES)
Line = tuple[str, float, float, float, float]


def read(several: Mapping[Path, Sequence[Path]], size: Sequence[int]) -> tuple[Boxes, tuple[str, ...]]:
    """The boxes of pictures in folders that have been brought to `size` (h, w), in pixels of that size, and the classes' names.

    `boxes.csv` has the columns file,label,x0,y0,x1,y1: left, upper, right and lower edge in pixels of the file, so that the first pixel
    reaches from 0 to 1; a picture without a line has no boxes. Raises InputError naming file and line: for a picture that is not there,
    an edge that is no number, a box outside its picture and one without area.
    """
    marked: list[list[Line]] = []
    for folder, pictures in several.items():
        by_name: dict[str, list[Line]] = {picture.name: [] for picture in pictures}
        extents = {picture.name: images.size_of(picture) for picture in pictures}
        for number, line in _lines(folder / BOXES):
            name, box = _box(folder / BOXES, number, line, extents)
            wide, high = extents[name]
            label, x0, y0, x1, y1 = box
            across, down = size[1] / wide, size[0] / high
            by_name[name].append((label, x0 * across, y0 * down, x1 * across, y1 * down))
        marked += by_name.values()
    return gathered(marked)


def gathered(marked: Sequence[Sequence[Line]]) -> tuple[Boxes, tuple[str, ...]]:
    """Boxes of n pictures, each a label and four edges, as tensors, and the labels in their order. Raises InputError without any box."""
    classes = tuple(sorted({label for lines in marked for label, *_ in lines}, key=natural))
    most = max(map(len, marked), default=0)
    if not most:
        raise InputError(f"{BOXES} holds no box; expected a line file,label,x0,y0,x1,y1 for each. Mark some.")
    corners, labels = torch.zeros(len(marked), most, 4), torch.full((len(marked), most), -1)
    for at, lines in enumerate(marked):
        for number, (label, *edges) in enumerate(lines):
            corners[at, number], labels[at, number] = torch.tensor(edges), classes.index(label)
    return Boxes(corners, labels), classes


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines below the heading, each with its number in the file. Raises InputError for other columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            names = [name.strip() for name in table.fieldnames or ()]
            absent = [name for name in COLUMNS if name not in names]
            if absent:
                raise InputError(f"{path}, line 1: expected the columns {','.join(COLUMNS)}; got {','.join(names) or 'nothing'}, without "
                                 f"{', '.join(absent)}. Name them so.")
            table.fieldnames = names
            return [(table.line_num, line) for line in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptFile(f"{path} is no table of text: {error}. Save it as CSV in UTF-8.") from None


def _box(path: Path, number: int, line: Mapping[str, str], extents: Mapping[str, tuple[int, int]]) -> tuple[str, Line]:
    """The picture's name, and its box."""
    where, values = f"{path}, line {number}", {name: (line[name] or "").strip() for name in COLUMNS}
    name = values["file"].removeprefix(f"{IMAGES}/")
    if name not in extents:
        raise InputError(f"{where}: there is no picture '{values['file']}' in {IMAGES}. {suggest(name, extents)} Correct the name, or put "
                         "the file there.")
    if not values["label"]:
        raise InputError(f"{where}: the box has no label. Give it one.")
    edges = []
    for edge in EDGES:
        try:
            edges.append(float(values[edge]))
        except ValueError:
            edges.append(math.nan)
        if not math.isfinite(edges[-1]):
            raise InputError(f"{where}: expected {edge} to be a number of pixels; got '{values[edge]}'. Correct it.")
    (x0, y0, x1, y1), (wide, high) = edges, extents[name]
    if x1 <= x0 or y1 <= y0:
        raise InputError(f"{where}: the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) has no area; expected x0 below x1 and y0 below y1. "
                         "Correct it, or remove the line.")
    if min(x0, y0) < 0 or x1 > wide or y1 > high:
        raise InputError(f"{where}: the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) reaches outside its picture {name}, which is {wide} "
                         f"wide and {high} high. Cut it off at the edge, or correct it.")
    return name, (values["label"], x0, y0, x1, y1)
