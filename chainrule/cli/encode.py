"""The `encode` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import OfRun, Printing, Writing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required
from chainrule.core.text import counted
from chainrule.workflows.options import Coding


@dataclass(frozen=True)
class NewRows:
    """What is encoded."""

    data: str = required("Rows, in the form the run was trained on: a file, a folder, or a named set.", positional=True)


@command()
def encode(of: OfRun, rows: NewRows, coding: Coding, writing: Writing, printing: Printing) -> None:
    """Write the codes that a net makes of rows. Example: chainrule encode runs/digits-autoencoder-1 digits --out codes.csv"""
    from chainrule.workflows.encode import encode_to
    from chainrule.workflows.open import open_run

    path = writing.out or Path("codes.csv")
    n, width = encode_to(open_run(of.run).trained, rows.data, path, layer=coding.layer, neighbours=coding.neighbours,
                         overwrite=writing.overwrite)
    say(f"{counted(n, 'code')} of {counted(width, 'number')} in {path}")
    if printing.as_json:
        print_json({"n": n, "width": width, "out": str(path)})
