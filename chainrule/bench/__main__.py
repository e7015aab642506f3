"""`python -m chainrule.bench`: the works side by side, all or by name; every other file here that has a `main` is a command beside them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from chainrule import bench
from chainrule.bench import command
from chainrule.core.errors import ChainruleError

BESIDE = "side-by-side"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def works() -> None:
    """Measure chainrule beside its peers, and by itself. Without a command, or with the name of a work: the works side by side."""


for module_info in pkgutil.iter_modules(bench.__path__):
    if not module_info.name.startswith("_"):
        module = importlib.import_module(f"chainrule.bench.{module_info.name}")
        if hasattr(module, "main"):
            app.command(module_info.name)(module.main)
app.command(BESIDE)(command.bench)


def words(arguments: list[str]) -> list[str]:
    """The command line with the side-by-side command put in front where no other command is named."""
    commands = {command.name for command in app.registered_commands}
    return arguments if "--help" in arguments[:1] or commands & set(arguments[:1]) else [BESIDE, *arguments]


if __name__ == "__main__":
    try:
        app(words(sys.argv[1:]))
    except ChainruleError as error:
        sys.exit(str(error))
