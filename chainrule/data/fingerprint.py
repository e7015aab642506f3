"""What identifies a data set: the SHA-256 of its content, whatever kind of file it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.data.encode.columns import Table


def of(inputs: Any, targets: Any, classes: tuple[str, ...] = (),
       groups: Tensor | None = None, times: Tensor | None = None, weights: Tensor | None = None) -> str:
    """Hex digest over inputs (a tensor or a Table), targets (a tree of tensors), class names, groups, times and weights."""
    digest = hashlib.sha256()
    if isinstance(inputs, Table):
        for column in inputs.columns:
            digest.update(json.dumps([column.name, column.kind, column.categories]).encode())
            _add(digest, column.values)
    else:
        _add(digest, inputs)
    if weights is not None:
        digest.update(b"weights")
        _add(digest, weights)
    return _ended(digest, targets, classes, groups, times)


class InPieces:
    """The digest of an array that is never in memory at once: the same as `of` gives for the whole."""

    def __init__(self, dtype: torch.dtype, shape: Sequence[int]):
        self.digest = hashlib.sha256(f"{dtype}{tuple(shape)}".encode())

    def add(self, values: Tensor) -> None:
        """The next rows (n, ...)."""
        self.digest.update(_bytes(values))

    def of(self, targets: Tensor | None, classes: tuple[str, ...] = ()) -> str:
        return _ended(self.digest.copy(), targets, classes)


def of_file(sha256: str, **roles: object) -> str:
    """Of a table that stays on disk: by the SHA-256 of its file, and which of its columns serve as what."""
    return hashlib.sha256(json.dumps([sha256, roles], sort_keys=True).encode()).hexdigest()


def _ended(digest: Any, targets: Any, classes: tuple[str, ...], *more: Tensor | None) -> str:
    digest.update(json.dumps(classes).encode())
    for part in (*pytree.tree_leaves(targets), *more):
        if part is not None:
            _add(digest, part)
    hexadecimal: str = digest.hexdigest()
    return hexadecimal


def _add(digest: Any, values: Tensor) -> None:
    digest.update(f"{values.dtype}{tuple(values.shape)}".encode())
    digest.update(_bytes(values))


def _bytes(values: Tensor) -> memoryview:
    return np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint8).data
