"""Folders of pictures with what is marked in them: `images/` beside `masks/`, or beside `boxes.csv`; or of parts that are such folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from chainrule.core.errors import InputError
from chainrule.core.text import natural
from chainrule.data.readers.images import PARTS

IMAGES, MASKS, BOXES = "images", "masks", "boxes.csv"
Kind = Literal["maps", "boxes"]


class Annotated(NamedTuple):
    """What is marked, and the folders, each with the part of the data that it is; no part where it is not said."""

    kind: Kind
    folders: list[tuple[str, Path]]


def find(path: Path) -> Annotated | None:
    """How a folder is annotated; None where it is not. Raises InputError where it is so in two ways."""
    inside = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
    several = [("", path)] if IMAGES in inside else [(PARTS[name], folder) for name, folder in sorted(inside.items(), key=_place)
                                                     if name in PARTS and (folder / IMAGES).is_dir()]
    kinds = [_kind(folder) for _, folder in several]
    known = [kind for kind in kinds if kind is not None]
    if not known:
        return None
    if len(set(kinds)) > 1:
        lacking = several[kinds.index(None)][1] if None in kinds else several[1][1]
        wanted = MASKS if known[0] == "maps" else BOXES
        raise InputError(f"{lacking} should hold {wanted} beside {IMAGES}, as the other parts of {path} do. "
                         "Put it there, or leave the part out.")
    return Annotated(known[0], several)


def _place(item: tuple[str, Path]) -> list[tuple[int, int, str]]:
    return natural(item[0])


def _kind(folder: Path) -> Kind | None:
    has_masks, has_boxes = (folder / MASKS).is_dir(), (folder / BOXES).is_file()
    if has_masks and has_boxes:
        raise InputError(f"{folder} holds both {MASKS} and {BOXES}; expected one, since a net answers by maps or by boxes. Move the other "
                         "away.")
    return "maps" if has_masks else "boxes" if has_boxes else None
