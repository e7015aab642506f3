"""Street View House Numbers, cropped digits in .mat files: Netzer et al. (2011), http://ufldl.stanford.edu/housenumbers/"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile
from chainrule.data.readers.matlab import numeric_arrays

TRAIN, TEST = "train_32x32.mat", "test_32x32.mat"


def read(paths: Sequence[Path]) -> tuple[Tensor, Tensor, list[int]]:
    """Images (n, 3, h, w) uint8, labels (n,) in 0..9 (the files write 10 for 0), and the rows each file gave."""
    xs, ys = [], []
    for path in paths:
        arrays = numeric_arrays(path, ("X", "y"))
        if missing := [name for name in ("X", "y") if name not in arrays]:
            raise CorruptFile(f"{path} holds no variable '{missing[0]}'; expected X (h, w, 3, n) and y as SVHN's cropped digits have.")
        x, y = arrays["X"], arrays["y"].reshape(-1)
        if x.ndim != 4 or x.shape[3] != len(y) or x.dtype != np.uint8 or not len(y) or not (y.min() >= 0 and y.max() <= 10):
            raise CorruptFile(f"{path}: expected X of uint8 (h, w, 3, n) and n labels in 1..10; got X {x.dtype} {x.shape} and {len(y)} "
                              "labels.")
        xs.append(torch.from_numpy(np.ascontiguousarray(x.transpose(3, 2, 0, 1))))
        ys.append(torch.from_numpy(y.astype(np.int64) % 10))
    return torch.cat(xs), torch.cat(ys), [len(y) for y in ys]


def read_folder(folder: Path) -> tuple[Tensor, Tensor, int]:
    """Images, labels and how many rows are training ones. Raises CorruptFile."""
    test = folder / TEST
    x, y, rows = read([folder / TRAIN, *([test] if test.is_file() else [])])
    return x, y, rows[0]
