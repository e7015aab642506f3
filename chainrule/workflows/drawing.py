"""Which options a kind of picture depends on; one that is for other kinds is refused, and not passed over."""

from __future__ import annotations

from dataclasses import fields

from chainrule.core.errors import InputError
from chainrule.core.options import flag
from chainrule.workflows.options import Drawing

FORMULA, PATHS = "graph of a formula", "paths"
READ = {"surface": ("plane",), "filters": ("layer",), "activations": ("row", "layer"), "saliency": ("row",), "occlusion": ("row",),
        "attention": ("row",), "graph": ("row",), "histograms": ("when",), "flow": ("reading", "against"), FORMULA: ("at",),
        PATHS: ("optimizers", "on")}


def check_suited(kind: str, drawing: Drawing) -> None:
    """Raises InputError for an option that was given and that pictures of this kind do not depend on.

    >>> check_suited("surface", Drawing(plane="random"))
    """
    for one in fields(Drawing):
        if getattr(drawing, one.name) != one.default and one.name not in READ.get(kind, ()):
            others = [other for other, names in READ.items() if one.name in names]
            raise InputError(f"{flag(one)} is for {', '.join(others[:-1])}{' and ' if others[1:] else ''}{others[-1]}; the picture {kind} "
                             "does not depend on it. Leave it out.")
