"""Used by mkdocs.yml: examples in docstrings, lines from `>>>` to the next empty one, become blocks of code in the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^([ ]*)(>>> .*(?:\n(?!\s*$).*)*)", re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with each example between fences."""
    return EXAMPLE.sub(r"\1```python\n\1\2\n\1```", text)


class Examples(griffe.Extension):
    """Fences the examples of every object before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
