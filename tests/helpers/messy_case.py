"""One messy file with the right reading beside it, and what such files are made of."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

N = 40
DRAW = np.random.default_rng(7)
SIZE = (DRAW.integers(100, 9999, N) / 100).tolist()             # 1.00 to 99.99
AMOUNT = DRAW.integers(1_000_000, 99_999_999, N).tolist()       # in hundredths: 10,000.00 to 999,999.99
CLASS = ["no", "yes"] * (N // 2)
NAN = float("nan")


@dataclass(frozen=True)
class Case:
    """One file. `kinds` are of the inputs, in order; `values` by column and row; `note` and `error` are parts of what is said."""

    name: str
    content: bytes
    kinds: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[int, Any]] = field(default_factory=dict)
    rows: int = N
    task: str = "class"
    note: str = ""
    error: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    target: str | int | None = "y"
    remedy: dict[str, Any] = field(default_factory=dict)  # with these options the file of an error is read


def lines(names: list[str], *columns: list[Any], separator: str = ",") -> str:
    return "\n".join([separator.join(names), *(separator.join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n"


def zipped(*texts: str) -> bytes:
    return archive({f"table{i}.csv": text for i, text in enumerate(texts)})


def archive(members: dict[str, str | bytes]) -> bytes:
    """A ZIP archive of these files."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return into.getvalue()
