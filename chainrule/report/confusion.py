"""Who is taken for whom: a table of square cells for few classes, a map of colours for many, and the most frequent pairs in words."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.report.bitmap import level, mapped

MOST_CLASSES = 25    # of a table of cells
CONFUSIONS, PAIRS = 8, 20   # named in words beside a table, and beside a map
STRONGEST = 0.55     # of a tint, so that the text on it is read in light and in dark
UPRIGHT = 3          # letters of names that are not turned
LONGEST = 24         # letters of a class beside the table; its whole name stands in its title


def confusion(matrix: Sequence[Sequence[int]] | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """Rows true, columns answered, ready to draw: `cells` or the address of a `map`, short names with whole ones, and the worst pairs."""
    if not matrix or len(matrix) != len(classes):
        return None
    few = len(classes) <= MOST_CLASSES
    pairs = _pairs(matrix, classes)
    turned = any(len(name) > UPRIGHT for name in classes)
    return {"names": [(shortened(name), name) for name in classes], "turned": turned, "cells": _tinted(matrix) if few else None,
            "map": None if few else _map(matrix), "pairs": pairs[: CONFUSIONS if few else PAIRS], "more": max(0, len(pairs) - PAIRS)}


def shortened(name: str) -> str:
    """The name, or its beginning and its end where it is long: long names often begin alike."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}…{name[-8:]}"


def _tinted(matrix: Sequence[Sequence[int]]) -> list[list[dict[str, Any]]]:
    """Cells with their count, share of the row, and strength of tint: the root of the share, so that rare mistakes show."""
    rows = []
    for i, counts in enumerate(matrix):
        total = sum(counts) or 1
        rows.append([{"count": n, "share": n / total, "tint": round(STRONGEST * math.sqrt(n / total), 3), "right": i == j}
                     for j, n in enumerate(counts)])
    return rows


def _map(matrix: Sequence[Sequence[int]]) -> str:
    """A picture of a point for each pair of classes: the root of its share of the row."""
    rows = [[level(math.sqrt(n / (sum(counts) or 1)) if n else 0.0) for n in counts] for counts in matrix]
    return "data:image/png;base64," + base64.b64encode(mapped(rows)).decode()


def _pairs(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> list[Mapping[str, Any]]:
    """Every mistake that was made, the most frequent first."""
    wrong: list[Mapping[str, Any]] = [{"true": classes[i], "answered": classes[j], "count": n, "of": sum(row)}
                                      for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    return sorted(wrong, key=lambda mistake: -mistake["count"])
