"""CIFAR-10 and CIFAR-100 in their binary form: Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.data.memory import afford

PIXELS = 3 * 32 * 32
TIMES = 2        # how much memory reading takes, by the bytes of the files: 2.0 times of one file, measured on 2026-12-01


def layout(path: Path) -> int:
    """How many label bytes a record has: 1 in CIFAR-10, 2 in CIFAR-100. Raises CorruptFile where neither fits the size."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    for labels in (1, 2):
        if size and size % (labels + PIXELS) == 0:
            return labels
    whole = size // (1 + PIXELS) * (1 + PIXELS)
    raise CorruptFile(f"{path}: expected records of {1 + PIXELS} bytes (CIFAR-10) or {2 + PIXELS} (CIFAR-100); "
                      f"its {size:,} bytes end inside the record at offset {whole:,}. Fetch the file again.")


def read(paths: Sequence[Path], classes: int | None = None) -> tuple[Tensor, Tensor, list[int]]:
    """Images (n, 3, 32, 32) uint8, fine labels (n,) and the rows each file gave. Raises CorruptFile with path and offset."""
    labels = layout(paths[0])
    record = labels + PIXELS
    most = classes or (10 if labels == 1 else 100)
    for path in paths:
        if layout(path) != labels:
            raise CorruptFile(f"{path} has {layout(path)} label bytes a record, {paths[0]} {labels}. Give files of one set.")
    rows = [path.stat().st_size // record for path in paths]
    afford(TIMES * sum(rows) * record, f"reading {', '.join(map(str, paths))}")
    x = np.empty((sum(rows), 3, 32, 32), np.uint8)
    y = np.empty(sum(rows), np.int64)
    at = 0
    for path, n in zip(paths, rows):
        records = np.fromfile(path, np.uint8).reshape(n, record)
        x[at : at + n] = records[:, labels:].reshape(n, 3, 32, 32)
        y[at : at + n] = records[:, labels - 1]
        wrong = np.flatnonzero(y[at : at + n] >= most)
        if len(wrong):
            raise CorruptFile(f"{path}, offset {wrong[0] * record + labels - 1:,}: expected a label below {most}; got {y[at + wrong[0]]}. "
                              "The file is damaged or of another format.")
        at += n
    return torch.from_numpy(x), torch.from_numpy(y), rows


def training_files(folder: Path, ten: bool) -> list[Path]:
    """The files of a folder that hold the training rows of CIFAR-10, or of CIFAR-100; none where it lacks them."""
    return sorted(folder.glob("data_batch_*.bin")) if ten else [path for path in (folder / "train.bin",) if path.is_file()]


def read_folder(folder: Path, ten: bool) -> tuple[Tensor, Tensor, int, tuple[str, ...]]:
    """Images, labels, how many rows are training ones, and class names, of CIFAR-10 or of CIFAR-100. Raises CorruptFile."""
    train, test = training_files(folder, ten), folder / ("test_batch.bin" if ten else "test.bin")
    classes = 10 if ten else 100
    x, y, rows = read([*train, *([test] if test.is_file() else [])])
    return x, y, sum(rows[: len(train)]), _names(folder / ("batches.meta.txt" if ten else "fine_label_names.txt"), classes)


def _names(path: Path, count: int) -> tuple[str, ...]:
    """Class names from the set's own list, or numbers where it has none."""
    if path.is_file():
        names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
        if len(names) == count:
            return names
    return tuple(map(str, range(count)))
