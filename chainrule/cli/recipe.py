"""`chainrule recipe`: the command of the published experiments, which are imported only when they are asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.core.errors import InputError


def recipe(
    name: Annotated[str, typer.Argument(help="Which experiment (chainrule list recipes).")],
    seeds: Annotated[int, typer.Option(help="How many runs the figure is the mean of.")] = 3,
    short: Annotated[bool, typer.Option("--short", help="A form of seconds, to see that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where runs and pictures go; otherwise a new folder recipes/NAME-N.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets are kept; otherwise CHAINRULE_DATA and a cache folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Run a published experiment and print ours beside the published figure. Example: chainrule recipe initialisation"""
    from chainrule.core.registry import recipes
    from chainrule.recipes.outcome import Setting, run

    recipes.find(name)
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1; got {seeds}.")
    folder = out or next(f for i in range(1, 10**6) if not (f := Path("recipes") / f"{name}-{i}").exists())
    outcome = run(name, Setting(folder, seeds, short, data_dir, lambda words: print(words, file=sys.stderr, flush=True)))
    print(outcome)
    if short:
        print("This was the short form: its figures prove nothing.")
    if as_json:
        print(json.dumps({"name": name, "short": short, **outcome.to_json()}))
