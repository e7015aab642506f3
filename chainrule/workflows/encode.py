"""Codes of new rows: read by the run's own readers and encoders, and written as they are made, a block of rows at a time."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from chainrule.core.files import writable
from chainrule.core.options import check
from chainrule.core.terminal import drawing
from chainrule.data.writers.predictions import Table
from chainrule.job.trained import Trained
from chainrule.observe.neighbours import near
from chainrule.workflows.options import Coding
from chainrule.workflows.predict import STREAM_BYTES, Labels, Line, blocks_of, interruptible, rows_of


def codes_of(trained: Trained, what: Any, layer: str | None = None) -> Tensor:
    """Codes (n, width) of new rows, or what a layer gives for them. Raises InputError, see `job.codes.encoding`."""
    return trained.codes(rows_of(trained, what), layer)


def encode_to(trained: Trained, what: Any, out: Path, *, layer: str | None = None, neighbours: int | None = None,
              stream_bytes: int = STREAM_BYTES, stream: TextIO | None = None, overwrite: bool = False) -> tuple[int, int]:
    """Write the codes of the rows of `what`, beside their numbers and labels; returns how many rows, and how wide a code is.

    With `neighbours`, the numbers of so many rows whose codes are nearest stand beside each, and all codes are in memory meanwhile. `out`
    appears when it is whole. Raises InputError, also where `out` is there and is not to be overwritten, or is what is read; Interrupted.
    """
    check(Coding(layer, neighbours))
    table = Table(out)
    writable(out, overwrite, what)
    line, width = Line(drawing(stream or sys.stderr), done="encoded"), 0
    waiting: list[tuple[dict[str, Any], Tensor]] = []
    with interruptible(out), table, contextlib.closing(line):
        labels = Labels()
        for part, expected in blocks_of(trained, what, stream_bytes, labels):
            codes = trained.codes(part, layer)
            width = codes.shape[1]
            columns = labels.beside({f"code_{i + 1}": codes[:, i].numpy() for i in range(width)}, len(part))
            if neighbours is None:
                table.add(columns)
            else:
                waiting.append((columns, codes))
            line(labels.rows, expected)
        if neighbours is not None and waiting:
            nearest = near(torch.cat([codes for _, codes in waiting]), neighbours) + 1
            for (columns, _), rows in zip(waiting, nearest.split([len(codes) for _, codes in waiting]), strict=True):
                table.add({**columns, **{f"neighbour_{k + 1}": rows[:, k].numpy() for k in range(rows.shape[1])}})
    return table.rows, width
