"""Masks: pictures without loss whose values say what each pixel of another picture is."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.data.readers import images
from chainrule.data.readers.annotated import MASKS

NAMES = "classes.csv"        # beside masks: value,label
MOST_CLASSES = 256
LOSSY = (".jpg", ".jpeg")


def read(several: Mapping[Path, Sequence[Path]], size: Sequence[int]) -> tuple[Tensor, tuple[str, ...]]:
    """Class numbers of pixels, uint8 (n, h, w), of pictures in folders that have been brought to `size` (h, w), and the classes' names.

    The mask of `images/a.jpg` is `masks/a.png`, of the same size. Grey and indexed values name classes, `0`, `255`; of coloured masks the
    colours do, `#ff0000`; a table classes.csv (value,label) beside them gives better names. Raises InputError naming the file: for a
    picture without mask and a mask without picture, another size, a format that loses values, and more than 256 classes.
    """
    paths = [path for folder, pictures in several.items() for path in _beside(folder, pictures)]
    pictures = [picture for some in several.values() for picture in some]
    coloured = any(_coloured(path) for path in paths)
    maps = np.stack([_decoded(path, picture, coloured, size) for path, picture in zip(paths, pictures, strict=True)])
    values, codes = np.unique(maps, return_inverse=True)
    if len(values) > MOST_CLASSES:
        raise InputError(f"{paths[0].parent} and its like hold {len(values):,} different values; expected at most {MOST_CLASSES}, one for "
                         "each class. Save masks without soft edges, as PNG.")
    named = {value: label for folder in several for value, label in _names(folder).items()}
    spelt = [f"#{value:06x}" if coloured else str(value) for value in values.tolist()]
    return torch.from_numpy(codes.reshape(maps.shape).astype(np.uint8)), tuple(named.get(value, value) for value in spelt)


def _beside(folder: Path, pictures: Sequence[Path]) -> list[Path]:
    """The mask of each picture. Raises InputError for a mask that belongs to none of them, and for a picture that has not one."""
    by_stem: dict[str, list[Path]] = {picture.stem: [] for picture in pictures}
    for mask in images.in_folder(folder / MASKS):
        if mask.stem not in by_stem:
            raise InputError(f"{mask} is the mask of no picture. {suggest(mask.stem, by_stem)} Rename it, or remove it.")
        by_stem[mask.stem].append(mask)
    return [_only(picture, by_stem[picture.stem]) for picture in pictures]


def _only(picture: Path, fitting: Sequence[Path]) -> Path:
    if len(fitting) != 1:
        what = f"{len(fitting)} masks: {', '.join(mask.name for mask in fitting)}" if fitting else f"no mask {picture.stem}.png in {MASKS}"
        raise InputError(f"{picture} has {what}; expected one. Draw it, or move the picture away.")
    if fitting[0].suffix.lower() in LOSSY:
        raise InputError(f"{fitting[0]} is a JPEG, which does not keep the values of its pixels. Save masks as PNG.")
    return fitting[0]


def _coloured(path: Path) -> bool:
    with images.opened(path) as image:
        if image.mode.startswith("I") or image.mode == "F":
            raise InputError(f"{path} has more than 8 bits a pixel (mode {image.mode}); expected a value from 0 to 255, or a colour, for "
                             "each class. Convert it.")
        return image.mode not in ("1", "L", "P")


def _decoded(path: Path, picture: Path, coloured: bool, size: Sequence[int]) -> np.ndarray:
    """Values or packed colours (h, w), brought to a size by the nearest pixel."""
    from PIL.Image import Resampling

    with images.opened(path) as image:
        if image.size != images.size_of(picture):
            (wide, high), (w, h) = images.size_of(picture), image.size
            raise InputError(f"{path} is {h} x {w} (height by width); its picture {picture} is {high} x {wide}. Draw it at that size.")
        values = image.convert("RGB") if coloured else image.convert("L") if image.mode == "1" else image
        pixels = np.asarray(values.resize((size[1], size[0]), Resampling.NEAREST))
    if coloured:
        return np.asarray(pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32))
    return pixels


def _names(folder: Path) -> dict[str, str]:
    """Labels by value, of the table beside the masks; empty where there is none."""
    path = folder / NAMES
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        if not {"value", "label"} <= set(lines.fieldnames or ()):
            raise InputError(f"{path} should begin with the line value,label; got {','.join(lines.fieldnames or ()) or 'nothing'}.")
        return {line["value"].strip().lower(): line["label"].strip() for line in lines}
