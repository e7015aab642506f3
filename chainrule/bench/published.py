"""The recipes whose figures are test accuracies at full size, each trained for several seeds; minutes of training a seed."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from chainrule.bench.harness import tell
from chainrule.core.errors import InputError, suggest
from chainrule.recipes.outcome import Setting, run

NAMES = ("softmax", "784-30-10", "784-100-10", "784-100-10-relu", "mark-i", "lenet", "dropout")


def main(name: Annotated[str, typer.Argument(help=f"{', '.join(NAMES)}, or all.")] = "all", seeds: int = 3,
         out: Annotated[Path | None, typer.Option(help="Where the run folders stay; thrown away where left out.")] = None,
         record: bool = False) -> None:
    """Published results at full size on real MNIST; minutes of training for each seed."""
    if name != "all" and name not in NAMES:
        raise InputError(f"There is no experiment called '{name}'. {suggest(name, [*NAMES, 'all'])}")
    lines = []
    for one in NAMES if name == "all" else (name,):
        with nullcontext(str(out)) if out else tempfile.TemporaryDirectory() as folder:
            lines += [one, *str(run(one, Setting(Path(folder) / one, seeds))).splitlines(), ""]
    tell("published", lines[:-1], record)
