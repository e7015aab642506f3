"""The layers of a net as a table in which blocks that follow one another and are the same stand once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from chainrule.core.text import table
from chainrule.observe.layers import Layer, shape_text

HEADING = ["layer", "kind", "input", "output", "parameters", "share %", "multiply-adds"]
NUMBER = re.compile(r"[0-9]+$")  # at the end of the name of one of several parts


class Repeated(NamedTuple):
    """A layer, how many there are of it, and which of all they are: each has the parameters and multiply-adds of the row."""

    layer: Layer
    times: int = 1
    members: tuple[int, ...] = ()


def collapsed(layers: Sequence[Layer]) -> list[Repeated]:
    """The layers, each run of equal blocks as its first one, its name giving the first and the last of them.

    A block is all that a module holds, `stages.0.1` what is named `stages.0.1.conv1` and so on; blocks are equal where they are parts of
    one module and their layers have the same names, kinds, shapes, parameters and multiply-adds.

    >>> [(row.layer.name, row.times) for row in collapsed([Layer(f"blocks.{i}.conv", "Conv2d", (8,), (8,), 72, 72, 32) for i in range(9)])]
    [('blocks.0-8.conv', 9)]
    """
    return _collapsed([Repeated(layer, 1, (i,)) for i, layer in enumerate(layers)], 1)


def layer_table(layers: Sequence[Layer], full: bool = False) -> str:
    """The rows as aligned text with their sums; `full` has every layer, otherwise equal blocks stand once."""
    rows = [Repeated(layer) for layer in layers] if full else collapsed(layers)
    parameters, products = sum(r.parameters for r in layers), sum(r.multiply_adds for r in layers)
    several = any(row.times > 1 for row in rows)

    def cells(repeated: Repeated) -> list[str]:
        row, times = repeated.layer, repeated.times
        share = 100 * times * row.parameters / max(parameters, 1)
        return [row.name, row.kind, shape_text(row.input), shape_text(row.output), f"{row.parameters:,}", f"{share:.1f}",
                f"{row.multiply_adds:,}", *([f"x {times}" if times > 1 else ""] if several else [])]

    total = ["total", "", "", "", f"{parameters:,}", "100.0" if parameters else "0.0", f"{products:,}"]
    lines = table([HEADING + [""] * several, *map(cells, rows), total + [""] * several], left=(0, 1, 2, 3), indent="")
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _collapsed(rows: list[Repeated], depth: int) -> list[Repeated]:
    """Outer blocks first: those that are named by `depth` parts, and then what is in each of those that remain."""
    if all(len(row.layer.name.split(".")) < depth for row in rows):
        return rows
    shown: list[Repeated] = []
    for run in _runs(_blocks(rows, depth), depth):
        first = run[0] if len(run) == 1 else [_standing_for(rows, depth) for rows in zip(*run, strict=True)]
        shown += _collapsed(first, depth + 1)
    return shown


def _blocks(rows: list[Repeated], depth: int) -> list[list[Repeated]]:
    """Rows that follow one another and whose names begin with the same `depth` parts."""
    return [list(block) for _, block in groupby(rows, lambda row: row.layer.name.split(".")[:depth])]


def _runs(blocks: list[list[Repeated]], depth: int) -> list[list[list[Repeated]]]:
    """Blocks that follow one another and are the same."""
    return [list(run) for _, run in groupby(blocks, lambda block: _likeness(block, depth))]


def _likeness(block: list[Repeated], depth: int) -> list[object]:
    """What must be equal of two blocks: all but the number of the block among its module's parts, and who keeps which tensor."""
    return [dataclasses.replace(row.layer, memory=0, name=".".join(_without_number(row.layer.name.split("."), depth))) for row in block]


def _without_number(parts: list[str], depth: int) -> list[str]:
    return [NUMBER.sub("#", part) if i + 1 == depth else part for i, part in enumerate(parts)]


def _standing_for(rows: Sequence[Repeated], depth: int) -> Repeated:
    """The same row of equal blocks, in the name of all."""
    parts = rows[0].layer.name.split(".")
    parts[depth - 1] += "-" + NUMBER.findall(rows[-1].layer.name.split(".")[depth - 1])[0]
    layer = dataclasses.replace(rows[0].layer, name=".".join(parts))
    return Repeated(layer, sum(row.times for row in rows), tuple(sorted(i for row in rows for i in row.members)))
