"""`python -m bench NAME`: every file of this folder that has a `main` is a command, its options the signature's."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

import bench
from chainrule.core.errors import ChainruleError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def works() -> None:
    """Measure chainrule beside a peer; what was measured goes to docs/results.md with --record."""


for found in pkgutil.iter_modules(bench.__path__):
    if not found.name.startswith("_"):
        module = importlib.import_module(f"bench.{found.name}")
        if hasattr(module, "main"):
            app.command(found.name)(module.main)

if __name__ == "__main__":
    try:
        app()
    except ChainruleError as error:
        sys.exit(str(error))
