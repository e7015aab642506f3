"""The `list` command: every name with its options and its source."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from typing import Any

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.errors import InputError, suggest
from chainrule.core.options import required

KINDS = {"data": "datasets"} | {name: name for name in (                 # what a user types, and the registry's name
    "nets", "rules", "tasks", "optimizers", "schedules", "inits", "losses", "constraints", "augments", "recipes", "diagnoses")}


@dataclass(frozen=True)
class Kind:
    """Which names."""

    what: str = required(", ".join([*KINDS][1:]) + " or data.", positional=True)


@command()
def list_names(kind: Kind, printing: Printing) -> None:
    """Every name with its options and its source. Example: chainrule list nets"""
    from chainrule.core import registry

    if kind.what not in KINDS:
        raise InputError(f"chainrule list knows no '{kind.what}'. {suggest(kind.what, KINDS)}")
    known: registry.Registry[Any] = getattr(registry, KINDS[kind.what])
    rows = []
    for entry in known.entries():
        options = {o.name: None if o.default is registry.REQUIRED else o.default for o in entry.options.values()}
        rows.append({"name": entry.name, "summary": entry.summary, "source": entry.source, "options": options})
        say(_fitted(f"{entry.name}{_option_line(options)}", "        "))
        for line in (entry.summary, entry.source):
            say(_fitted("    " + line, "    "))
    if printing.as_json:
        print_json(rows)


def _option_line(options: dict[str, Any]) -> str:
    words = [f"{k}={'x'.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in options.items()]
    return "  (" + ", ".join(words) + ")" if words else ""


def _fitted(line: str, indent: str) -> str:
    """A line broken at spaces to the width of the terminal, at most 100 columns."""
    width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
