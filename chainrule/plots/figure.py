"""Figures as the bytes of a file: PNG on white, or SVG that follows the reader's choice of light and dark."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INKS = {"#333333": "ink", "#777777": "ink", "#000000": "ink", "#bbbbbb": "faint", "#eeeeee": "line", "#ffffff": "paper"}
LIGHT = {"ink": "#333333", "faint": "#bbbbbb", "line": "#eeeeee", "paper": "#ffffff"}
DARK = {"ink": "#d6d6d2", "faint": "#60656c", "line": "#2c2f34", "paper": "#15171a"}
LARGEST = 160_000   # bytes of an SVG that a page takes
HEADER = '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'   # of every SVG that is drawn here
PAINT = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


def to_png(figure: Figure, *, dots_per_inch: int = 120) -> bytes:
    """The bytes of a PNG file of a figure, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """The bytes of an SVG file of a figure without a background; its ink and lines are light where the reader asks for dark pages."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "chainrule", "font.family": ["DejaVu Sans", "sans-serif"]}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = PAINT.sub(lambda one: f"{one[1]}: var(--{INKS[one[2]]})" if one[2] in INKS else one[0], buffer.getvalue())
    start = text.index("<svg")
    end = text.index(">", start) + 1
    return (HEADER + text[start:end] + _style() + text[end:]).encode()


def to_file(figure: Figure) -> bytes:
    """What a page has of a figure: SVG, which follows light and dark, or PNG where that would be large."""
    drawn = to_svg(figure)
    return drawn if len(drawn) <= LARGEST else to_png(figure)


def drawn(figure: Figure, path: Path) -> bytes:
    """The bytes of the file that its suffix names: `.svg`, else PNG."""
    return to_svg(figure) if path.suffix.lower() == ".svg" else to_png(figure)


def _style() -> str:
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in names.items()) for names in (LIGHT, DARK))
    return (f"<style>svg{{{light}}} text{{fill:var(--ink)}} "
            f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>")
