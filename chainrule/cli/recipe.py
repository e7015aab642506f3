"""`chainrule recipe`: the command of the published experiments, which are imported only when they are asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say, to_stderr
from chainrule.cli.signals import free_beside
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.files import folder_for
from chainrule.core.options import check, option, required, same
from chainrule.workflows.options import Dataset, Experiment


@dataclass(frozen=True)
class Named:
    """Which experiment, in which form, and where its runs go."""

    name: str = required("Which experiment (chainrule list recipes).", positional=True)
    short: bool = option(False, "A form of seconds, to see that it works.")
    out: Path | None = option(None, "Where runs and pictures go; otherwise a new folder recipes/NAME-N.")
    data_dir: Path | None = same(Dataset, "data_dir")


@command()
def recipe(named: Named, experiment: Experiment, printing: Printing) -> None:
    """Run a published experiment and print ours beside the published figure. Example: chainrule recipe initialisation"""
    from chainrule.core.registry import recipes
    from chainrule.recipes.outcome import Setting, run

    recipes.find(named.name)
    check(experiment)
    folder = free_beside(Path("recipes") / named.name) if named.out is None else folder_for(named.out)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds something already, and an experiment begins anew. Use --out {free_beside(folder)}.")
    try:
        outcome = run(named.name, Setting(folder, experiment.seeds, named.short, named.data_dir, to_stderr))
    except (KeyboardInterrupt, Interrupted) as error:
        how = [named.name, *(["--short"] if named.short else []), "--seeds", str(experiment.seeds),
               *(["--data-dir", str(named.data_dir)] if named.data_dir else [])]
        command = shlex.join(["chainrule", "recipe", *how, "--out", str(free_beside(folder))])
        raise Interrupted(f"Interrupted; an experiment begins anew: {command}", getattr(error, "signal", "SIGINT")) from None
    say(str(outcome))
    if named.short and not outcome.judged:
        say("This was the short form: its figures prove nothing.")
    if printing.as_json:
        print_json({"name": named.name, "short": named.short, **outcome.to_json()})
