"""Maps on disk: a folder of PNG files, one for each picture, or one NPZ file; whole or not there."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.files import STRAY, sync_folder, with_room, write_atomically
from chainrule.data.readers.annotated import IMAGES
from chainrule.data.readers.masks import NAMES

SUFFIXES = ("", ".npz")     # a name without ending is a folder
PALETTE = (0x0072B2, 0xD55E00, 0x009E73, 0xCC79A7, 0xE69F00, 0x56B4E9, 0x000000, 0x882255)   # Okabe & Ito (2008)


def inside(name: str) -> Path:
    """The path of a file, without what would lead out of the folder that it is to lie in: a root, a drive, and steps upward."""
    path = Path(name)
    return Path(*(part for part in path.parts if part not in (path.anchor, "..")))


class Maps:
    """Class numbers of pixels that appear under `path` when the context is left in good order.

    In a folder each is called as its picture is, inside that folder, and can be read again as a mask: the values are those that name the
    classes, `0`, `255` or `#ff0000`; of classes with other names they are numbers, which a table `classes.csv` beside them explains. Raises
    InputError where it cannot be written, and where two pictures have one name.
    """

    def __init__(self, path: Path, classes: Sequence[str]):
        self.path, self.classes, self.rows = path, classes, 0
        self._maps: list[np.ndarray] = []
        self._files: list[str] = []

    def __enter__(self) -> Maps:
        if self.path.suffix == "":
            with self._writing():
                self._folder = Path(tempfile.mkdtemp(STRAY, f".{self.path.name}.", self.path.absolute().parent))
        return self

    def add(self, labels: Mapping[str, Any], maps: Tensor, size: Sequence[int] = ()) -> None:
        """Further maps, uint8 (n, h, w); `labels` (n,) are what tells their pictures apart: `file` names them, else `row` counts them.

        In a folder those of whole pictures, of which a net read `size` (h, w), are brought to the `height` and `width` that labels tell.
        """
        whole = tuple(size) == tuple(maps.shape[1:]) and {"height", "width"} <= set(labels)
        extents = list(zip(labels["width"], labels["height"], strict=True)) if whole else [None] * len(maps)
        files = [str(name) for name in labels["file"]] if "file" in labels else [f"{row:06}" for row in labels["row"]]
        self.rows += len(maps)
        if self.path.suffix:
            self._maps.append(maps.numpy())
            self._files += files
            return
        from PIL.Image import Resampling

        with self._writing():
            for name, map_, extent in zip(files, maps.numpy(), extents, strict=True):
                path = self._folder / inside(name.removeprefix(f"{IMAGES}/")).with_suffix(".png")
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    raise InputError(f"The maps of two pictures would both be called {path.relative_to(self._folder)}, one of them that of "
                                     f"{name}. Give one of the pictures another name, or write an .npz file.")
                image = self._image(map_)
                (image if extent is None else image.resize(extent, Resampling.NEAREST)).save(path)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._finish()
        finally:
            if self.path.suffix == "":
                shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self) -> None:
        if self.path.suffix:
            content = io.BytesIO()
            np.savez_compressed(content, maps=np.concatenate(self._maps), classes=np.array(self.classes), files=np.array(self._files))
            write_atomically(self.path, content.getvalue())
            return
        if self._explained:
            with (self._folder / NAMES).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("value", "label"), *enumerate(self.classes)])
        if not self.path.exists():
            self._folder.chmod(0o755)
            os.replace(self._folder, self.path)
        else:
            waiting = [p for p in self._folder.rglob("*") if p.is_file()]
            try:
                self._place(waiting)
            finally:                                     # an interruption between two files ends after the last
                self._place(waiting)
        sync_folder(self.path.absolute().parent)

    def _place(self, waiting: list[Path]) -> None:
        """Move these files into the folder that they are for, and take them from the list."""
        while waiting:
            place = self.path / waiting[-1].relative_to(self._folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if waiting[-1].exists():
                os.replace(waiting[-1], place)
            waiting.pop()

    @property
    def _explained(self) -> bool:
        """Whether the classes' names are no values, so that a table says which is which."""
        return self._values() is None

    def _values(self) -> np.ndarray | None:
        """The grey value (classes,) or colour (classes, 3) that names each class; None where names are words."""
        if all(name.isdecimal() and int(name) < 256 for name in self.classes):
            return np.array([int(name) for name in self.classes], np.uint8)
        with contextlib.suppress(ValueError):
            if all(name.startswith("#") and len(name) == 7 for name in self.classes):
                return np.array([list(bytes.fromhex(name[1:])) for name in self.classes], np.uint8)
        return None

    def _image(self, map_: np.ndarray) -> Any:
        """A map (h, w) as an image that Pillow saves."""
        from PIL import Image

        values = self._values()
        if values is not None:
            return Image.fromarray(values[map_])
        image = Image.fromarray(map_, "P")
        image.putpalette([part for i in range(256) for part in PALETTE[i % len(PALETTE)].to_bytes(3, "big")])
        return image

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"--out {self.path} cannot be written: {with_room(error, self.path).strerror}. Name another.") from None
