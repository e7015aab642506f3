"""Folders of images by class, through Pillow, refusing decompression bombs before they are decoded."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.text import natural
from chainrule.data.memory import afford

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")   # whose decoders start no program, as that of PostScript does
MOST_PIXELS = 64 * 10**6
TIMES = 1.2       # how much memory reading takes, by the pixels of all pictures: 1.05 to 1.06 times, measured on 2026-12-01
PARTS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test", "testing": "test"}
ORIENTATION = 0x0112
LONGEST, SHRUNK = 128, 96   # pixels of a side: pictures with a longer one are shrunk to this, unless a size is asked for
Size = tuple[int, int]      # height, width


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def in_folder(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if p.is_file() and is_image(p)), key=lambda p: natural(p.name))


def within(folder: Path) -> list[Path]:
    """The images of a folder and of all folders in it."""
    return [*in_folder(folder), *(path for inner in _folders(folder) if not inner.is_symlink() for path in within(inner))]


def find(folder: Path) -> tuple[list[Path], Tensor | None, tuple[str, ...], dict[str, Tensor]]:
    """Files of `folder/CLASS/**` or `folder/PART/CLASS/**`, their class codes (n,), class names, and the rows of given parts.

    What lies deeper belongs to the class that it lies in. A flat folder of images has no codes. Raises InputError where there are no
    images.
    """
    inside = _folders(folder)
    parts = [(PARTS[d.name.lower()], d) for d in inside if d.name.lower() in PARTS]
    nested = bool(parts) and len(parts) == len(inside)
    files: list[tuple[str, str, Path]] = []  # part, class, file
    for part, top in parts if nested else [("", folder)]:
        files += [(part, d.name, path) for d in _folders(top) for path in within(d)]
    flat = [] if files else in_folder(folder)
    if not files and not flat:
        raise InputError(f"{folder} holds no images; expected a folder for each class with {' '.join(SUFFIXES[:3])} files in it, "
                         "or the files of a known set (MNIST's IDX, CIFAR's .bin, SVHN's .mat).")
    if flat:
        return flat, None, (), {}
    classes = tuple(sorted({name for _, name, _ in files}, key=natural))
    y = torch.tensor([classes.index(name) for _, name, _ in files])
    rows = {part: torch.tensor([i for i, (p, *_) in enumerate(files) if p == part]) for part in ("valid", "test")}
    return [path for *_, path in files], y, classes, {part: at for part, at in rows.items() if nested and len(at)}


def _folders(folder: Path) -> list[Path]:
    return sorted((d for d in folder.iterdir() if d.is_dir() and not d.name.startswith((".", "__"))), key=lambda d: natural(d.name))


def usual_size(paths: Sequence[Path]) -> Size | None:
    """The size to which pictures are shrunk where none is asked for, by the first of them; None where they are small enough."""
    width, height = size_of(paths[0])
    longest = max(width, height)
    return None if longest <= LONGEST else (max(1, round(height * SHRUNK / longest)), max(1, round(width * SHRUNK / longest)))


def read(paths: Sequence[Path], channels: Literal[1, 3] | None = None, size: Size | None = None) -> Tensor:
    """Images as uint8 (n, c, h, w), of one size or brought to it; grey where all are grey, else red, green and blue.

    Raises InputError, CorruptFile.
    """
    return torch.from_numpy(decoded(paths, common_shape(paths, channels, size), size is not None))


def common_shape(paths: Sequence[Path], channels: Literal[1, 3] | None = None, asked: Size | None = None) -> tuple[int, int, int]:
    """The shape (c, h, w) that all have, from their headers, or are brought to. Raises InputError, CorruptFile."""
    size, all_grey = (0, 0), True
    for path in paths:
        (w, h), grey = _look(path)
        size, all_grey = size if path is not paths[0] else (w, h), all_grey and grey
        if (w, h) != size and asked is None:
            high, wide = usual_size(paths) or (size[1], size[0])
            raise InputError(f"the images differ in size: {paths[0]} is {size[0]} x {size[1]}, {path} is {w} x {h}. Bring all to one, "
                             f"height by width, with e.g. --resize {high}x{wide}.")
    return 1 if channels == 1 or (channels is None and all_grey) else 3, *(asked or (size[1], size[0]))


def fault(path: Path) -> str:
    """Why an image cannot be decoded, in one sentence; empty where it can."""
    try:
        _look(path)
        with opened(path) as image:
            image.load()
    except InputError as error:
        return str(error)
    return ""


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image as shown, from its header."""
    return _look(path)[0]


def decoded(paths: Sequence[Path], shape: tuple[int, int, int], resized: bool = False) -> np.ndarray:
    """Images as uint8 (n, c, h, w), of this shape (c, h, w) or brought to it.

    Raises CorruptFile, InputError where one no longer has it.
    """
    from PIL.Image import Resampling

    size = (shape[2], shape[1])
    nbytes = len(paths) * math.prod(shape)
    afford(int(TIMES * nbytes), f"decoding {len(paths):,} pictures of {shape[1]} x {shape[2]}")
    whole = np.empty((len(paths), *shape), np.uint8)
    for at, path in enumerate(paths):
        with opened(path) as image:
            picture = _upright(image).convert("L" if shape[0] == 1 else "RGB")
            pixels = np.asarray(picture.resize(size, Resampling.BILINEAR) if resized and picture.size != size else picture)  # (h, w, ...)
        if pixels.shape[:2] != shape[1:]:
            raise InputError(f"{path} is now {pixels.shape[1]} x {pixels.shape[0]}; it was {shape[2]} x {shape[1]} a moment ago. Leave "
                             "the folder alone while it is read.")
        whole[at] = pixels if shape[0] == 1 else pixels.transpose(2, 0, 1)
    return whole


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _look(path: Path) -> tuple[tuple[int, int], bool]:
    """Size as shown (width, height) and whether it is grey, from the header alone."""
    with opened(path) as image:
        width, height = image.size
        if image.mode.startswith("I") or image.mode == "F":
            raise InputError(f"{path} has more than 8 bits a pixel (mode {image.mode}), which would be cut. Convert it to 8 bits, or "
                             "give an .npz.")
        turned = image.getexif().get(ORIENTATION, 1) >= 5
        return ((height, width) if turned else (width, height)), image.mode in ("1", "L")


class opened:
    """An image file whose size was checked, and whose failures to decode become CorruptFile."""

    def __init__(self, path: Path):
        self.path = path
        self.image: Any = None

    def __enter__(self) -> Any:
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            try:
                self.image = Image.open(self.path, formats=FORMATS)
            except Image.DecompressionBombError:
                raise InputError(f"{self.path} declares more than {MOST_PIXELS:,} pixels; that many were not decoded. Make it "
                                 "smaller.") from None
            except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ... by format
                raise CorruptFile(f"{self.path} is damaged or not an image: {error}. Replace or remove it.") from None
        width, height = self.image.size
        if width * height > MOST_PIXELS:
            raise InputError(f"{self.path} declares {width} x {height} pixels, more than {MOST_PIXELS:,}; it was not decoded. Make it "
                             "smaller.")
        return self.image

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self.image is not None:
            self.image.close()
        if isinstance(error, Exception) and not isinstance(error, InputError):
            raise CorruptFile(f"{self.path} is damaged: {error}. Replace or remove it.") from None
