"""A finding about data: what was found, the evidence, and what to do, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """`rows` (from 0, in the source) and `columns` by name; `table` holds the same for reading, rows counted from 1."""

    kind: str
    found: str
    evidence: str
    remedy: str
    rows: list[int] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)


def listed(rows: Iterable[Any], most: int = 5) -> str:
    """`rows 3, 17 and 20`, counted from 1, the first few of them."""
    numbers = [str(int(r) + 1) for r in rows][:most]
    return f"row {numbers[0]}" if len(numbers) == 1 else f"rows {', '.join(numbers[:-1])} and {numbers[-1]}"
