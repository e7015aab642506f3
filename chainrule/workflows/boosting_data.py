"""The rows that a round of boosting trains on."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from chainrule.data.source import Data, Source


def residual_source(source: Source, data: Data, targets: Tensor, number: int) -> Source:
    """The rows of `source`, divided as `data` is, with the numbers (n, k) that round `number` is to fit; held-out rows have zeros."""
    elsewhere = torch.ones(len(source), dtype=torch.bool)
    elsewhere[data.train.rows] = elsewhere[data.valid.rows] = False
    digest = hashlib.sha256(source.fingerprint.encode() + targets.double().contiguous().numpy().tobytes()).hexdigest()
    name = f"what round {number} fits of {source.name}"
    return replace(source, name=name, targets=targets.double(), target_kind="real", classes=(), origin={"kind": "memory", "what": name},
                   fingerprint=digest, groups=None, times=None,
                   parts={"train": data.train.rows, "valid": data.valid.rows, "test": elsewhere.nonzero()[:, 0]})


def spread_over(source: Source, rows: Tensor, values: Tensor, fill: float) -> Tensor:
    """`values` (n, ...) at the `rows` they belong to, `fill` at all others: (rows of the source, ...) float64."""
    out = torch.full((len(source), *values.shape[1:]), fill, dtype=torch.float64)
    out[rows] = values.double().cpu()
    return out
