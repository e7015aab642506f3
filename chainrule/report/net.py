"""The layers of a net that branches as plain geometry: boxes below what they read, lines beside the boxes that they pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.plots.layer_graph import corners
from chainrule.plots.layout import layout
from chainrule.plots.style import end_of

WIDE, HIGH = 172, 64            # from box to box, across and down
BOX_WIDE, BOX_HIGH = 156, 46
LETTERS = 21


@dataclass(frozen=True)
class Box:
    """A layer at its left upper corner; `name` and `kind` are shortened, `title` says all of it."""

    x: float
    y: float
    name: str
    kind: str
    shape: Sequence[int]
    title: str


@dataclass(frozen=True)
class Drawing:
    """Boxes and the paths between them in a drawing of this size."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]


def drawing(graph: Mapping[str, Any] | None) -> Drawing | None:
    """The drawing of `nodes` {name, kind, shape, times} and `edges` (tail, head) between them; None where there are none."""
    if not graph:
        return None
    nodes, edges = graph["nodes"], graph["edges"]
    placed = layout(len(nodes), edges)
    boxes = tuple(_box(node, x * WIDE + 2, y * HIGH + 2) for node, (x, y) in zip(nodes, placed.places, strict=True))
    return Drawing(round(placed.width * WIDE + BOX_WIDE + 4), round(placed.height * HIGH + BOX_HIGH + 4), boxes,
                   tuple(map(_path, placed.lines)))


def _box(node: Mapping[str, Any], x: float, y: float) -> Box:
    name = node["name"] + (f" × {node['times']}" if node["times"] > 1 else "")
    return Box(round(x, 1), round(y, 1), end_of(name, LETTERS), end_of(node["kind"], LETTERS), node["shape"], f"{name}: {node['kind']}")


def _path(line: Sequence[tuple[float, float]]) -> str:
    """As SVG writes it, with an arrow's head at its end."""
    points, codes = corners(line, BOX_HIGH / HIGH / 2)
    several = [f"{x * WIDE + BOX_WIDE / 2 + 2:.1f} {y * HIGH + BOX_HIGH / 2 + 2:.1f}" for x, y in points]
    path, at = "", 0
    for code in codes.replace("QQ", "Q"):
        count = 2 if code == "Q" else 1
        path += code + " ".join(several[at : at + count])
        at += count
    return f"{path}m-3 -5l3 5l3 -5"
