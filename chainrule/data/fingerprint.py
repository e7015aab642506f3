"""What identifies a data set: the SHA-256 of its content, whatever kind of file it came from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from torch import Tensor

from chainrule.data.columns import Table


def of(inputs: Any, targets: Tensor | None, classes: tuple[str, ...] = (),
       groups: Tensor | None = None, times: Tensor | None = None) -> str:
    """Hex digest over inputs (a tensor or a Table), targets, class names, groups and times."""
    digest = hashlib.sha256()
    if isinstance(inputs, Table):
        for column in inputs.columns:
            digest.update(json.dumps([column.name, column.kind, column.categories]).encode())
            _add(digest, column.values)
    else:
        _add(digest, inputs)
    digest.update(json.dumps(classes).encode())
    for part in (targets, groups, times):
        if part is not None:
            _add(digest, part)
    return digest.hexdigest()


def _add(digest: Any, values: Tensor) -> None:
    digest.update(f"{values.dtype}{tuple(values.shape)}".encode())
    digest.update(np.ascontiguousarray(values.numpy()).reshape(-1).view(np.uint8))
