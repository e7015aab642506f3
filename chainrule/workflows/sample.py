"""Samples of a trained net: drawn, and written as text, as a table or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.files import writable, write_atomically
from chainrule.core.options import check, read
from chainrule.core.sampling import Drawn, Request
from chainrule.core.text import visible
from chainrule.data.writers.predictions import SUFFIXES, Table
from chainrule.job.trained import Trained
from chainrule.plots.evaluation import image_grid
from chainrule.plots.figure import to_png

TEXT, PICTURE = ".txt", ".png"
BETWEEN = "\n" + "-" * 40 + "\n"   # samples in one text file


def samples_of(trained: Trained, request: Request) -> Drawn:
    """Samples that a net makes. Raises InputError for an option out of its range, and for a net that makes none."""
    check(read(Request, vars(request)))
    return trained.sample(request)


def write_samples(drawn: Drawn, out: Path, overwrite: bool = False, signs: bool = False) -> Path:
    """Write samples to a file: texts as .txt, with `signs` for blanks, or a row each; rows as a table, pictures also as .png.

    Raises InputError where the ending is of no kind that these can have, or the file is there and is not to be overwritten.
    """
    pictures = drawn.rows is not None and drawn.rows.dim() == 4
    able = [*([TEXT] if drawn.texts else [PICTURE] if pictures else []), *SUFFIXES]
    if out.suffix not in able:
        raise InputError(f"--out {out} should end in {', '.join(able[:-1])} or {able[-1]}.")
    writable(out, overwrite)
    if out.suffix in SUFFIXES:
        with Table(out) as table:
            table.add(columns_of(drawn, signs))
        return out
    content = to_png(image_grid(drawn.rows)) if drawn.rows is not None else text_of(drawn, signs).encode()
    try:
        write_atomically(out, content)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}. Use another --out.") from None
    return out


def text_of(drawn: Drawn, signs: bool = False) -> str:
    """Texts one after the other, a line between them."""
    return BETWEEN.join(visible(text) if signs else text for text in drawn.texts) + "\n"


def columns_of(drawn: Drawn, signs: bool = False) -> dict[str, Any]:
    """Samples as columns (n,): their number and text, the columns of a table, or each number of a row."""
    numbers = np.arange(1, len(drawn) + 1)
    if drawn.rows is None:
        return {"sample": numbers, "text": [visible(text) if signs else text for text in drawn.texts]}
    columns = drawn.columns or _numbers(drawn.rows)
    return {"sample": numbers.repeat(len(next(iter(columns.values()))) // len(numbers)), **columns}    # of series a row for each step


def _numbers(rows: Tensor) -> dict[str, Any]:
    return {str(i): column.numpy() for i, column in enumerate(rows.flatten(1).T)}
