"""IDX files, the format of the MNIST family: LeCun, Cortes & Burges (1998), http://yann.lecun.com/exdb/mnist/"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.memory import afford
from chainrule.data.readers.gzipped import Packed, suffix_of, unpacked_name

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PARTS = ("train", "t10k", "test")
NAMED = re.compile(r"(images|labels)[-.]idx\d", re.IGNORECASE)
TIMES = 2        # how much memory reading takes, by the values: 1.0 of bytes, measured on 2026-12-01; of others their copy in our order
Check = Callable[[Path, bytes, memoryview], None]  # path, header, body


def is_idx(path: Path) -> bool:
    """Whether a file's name says IDX, as in train-images-idx3-ubyte.gz or x.idx."""
    return NAMED.search(path.name) is not None or suffix_of(path) == ".idx"


def _header(packed: Packed) -> tuple[np.dtype, tuple[int, ...], bytes]:
    """Element type, shape and raw header. Raises CorruptFile before anything is allocated that the file cannot hold."""
    path, magic = packed.path, packed.take(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 8:
        raise CorruptFile(f"{path}: expected an IDX magic number such as 00 00 08 03 at offset 0; got {magic.hex(' ') or 'nothing'}. "
                          "It is not an IDX file, or it is damaged.")
    sizes = packed.take(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise CorruptFile(f"{path}: the IDX header needs {4 + 4 * magic[3]} bytes; the file ends at offset {4 + len(sizes)}. Fetch it "
                          "again.")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    dtype = np.dtype(TYPES[magic[2]])
    declared = math.prod(shape) * dtype.itemsize
    if declared > packed.most or (not packed.packed and declared != packed.stored - packed.at):
        raise CorruptFile(f"{path}: the IDX header declares {' x '.join(map(str, shape))} values ({declared:,} bytes from offset "
                          f"{packed.at}); "
                          f"the file has {'at most ' if packed.packed else ''}{packed.most - (0 if packed.packed else packed.at):,}. Fetch "
                          "it again.")
    return dtype, shape, magic + sizes


def read(*paths: Path, check: Check | None = None) -> Tensor:
    """The values of IDX files, joined along the first axis, as native tensors. Raises CorruptFile with path and offset.

    `check(path, header, body)` is told the bytes of each file once they are read.
    """
    files = [Packed(path) for path in paths]
    try:
        heads = [_header(file) for file in files]
        dtype, shape, _ = heads[0]
        for path, (other, sizes, _) in zip(paths, heads):
            if other != dtype or sizes[1:] != shape[1:]:
                raise CorruptFile(f"{path} holds {sizes[1:]} values a row, {paths[0]} {shape[1:]}. Give files of one set.")
        count = sum(sizes[0] for _, sizes, _ in heads)
        afford(TIMES * count * math.prod(shape[1:]) * dtype.itemsize, f"reading {', '.join(map(str, paths))}")
        whole = np.empty((count, *shape[1:]), dtype)
        view, at = memoryview(whole.reshape(-1).view(np.uint8).data), 0
        for file, (_, sizes, head) in zip(files, heads):
            body = view[at : at + math.prod(sizes) * dtype.itemsize]
            came = file.fill(body)
            if came < len(body):
                raise CorruptFile(f"{file.path}: the IDX header declares {len(body):,} bytes of values; the content ends at offset "
                                  f"{file.at}, {len(body) - came:,} short. Fetch the file again.")
            if file.take(1):
                raise CorruptFile(f"{file.path}: the content goes on beyond offset {file.at - 1}, where its IDX header says it ends. "
                                  "Fetch it again.")
            if check:
                check(file.path, head, body)
            at += len(body)
    finally:
        for file in files:
            file.file.close()
    return torch.from_numpy(whole.astype(dtype.newbyteorder("="), copy=False))


def pictures(values: Tensor, path: Path) -> Tensor:
    """IDX values as the inputs of a set: (n, h, w) gets a channel axis; anything else stays."""
    if values.dim() < 2:
        raise InputError(f"{path} holds one number a row; expected images. It looks like a file of labels: give the folder, or the "
                         "images file.")
    return values.unsqueeze(1) if values.dim() == 3 else values


def member(folder: Path, part: str, what: str) -> Path | None:
    """The file of a folder that holds the `what` (images, labels) of `part` (train, t10k, test), plain or packed."""
    rank = {"images": 3, "labels": 1}[what]
    for stem in (f"{part}-{what}-idx{rank}-ubyte", f"{part}-{what}.idx{rank}-ubyte"):
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    return None


def read_folder(folder: Path, check: Check | None = None) -> tuple[Tensor, Tensor, int]:
    """Images (n, 1, h, w), labels (n,) and how many rows are training ones, of a folder that holds images."""
    parts = []
    for part in PARTS:
        images, labels = member(folder, part, "images"), member(folder, part, "labels")
        if images is not None and labels is None:
            raise InputError(f"{folder} holds {images.name} but not its labels; expected {part}-labels-idx1-ubyte beside it.")
        if images is not None and labels is not None:
            parts.append((part, images, labels))
    x = pictures(read(*(images for _, images, _ in parts), check=check), parts[0][1])
    y = read(*(labels for *_, labels in parts), check=check)
    if len(x) != len(y) or y.dim() != 1:
        raise CorruptFile(f"{folder} holds {len(x)} images but {tuple(y.shape)} labels. Give files of one set.")
    if parts[0][0] != "train":
        return x, y.long(), len(x)
    with Packed(parts[0][2]) as first:
        return x, y.long(), _header(first)[1][0]


def labels_beside(images: Path) -> Path | None:
    """The file of labels that belongs to a file of images, where it lies beside it."""
    named = re.sub(r"images([-.])idx\d", r"labels\1idx1", images.name)
    if named == images.name:                       # no file of images says so in its name: what is beside it is itself, unpacked
        return None
    stem = unpacked_name(Path(named))
    return next((p for p in (images.with_name(stem), images.with_name(f"{stem}.gz")) if p != images and p.is_file()), None)
