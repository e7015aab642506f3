"""The `threshold` command."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.cli.options import OfRun, Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required
from chainrule.workflows.options import OperatingPoint


@dataclass(frozen=True)
class OneClass:
    """Which class is to be answered earlier or later."""

    name: str = required("The class.", flag="--class")


@command()
def threshold(of: OfRun, one: OneClass, point: OperatingPoint, printing: Printing) -> None:
    """Answer a class earlier or later, chosen on the validation part. Example: chainrule threshold runs/x --class yes --recall .9"""
    from chainrule.workflows.run import Run
    from chainrule.workflows.threshold import choose_threshold

    chosen = choose_threshold(Run(of.run), one.name, point)
    say(f"{chosen}.")
    say(f"Stored in {of.run}; predict, test, report and export obey it.")
    if printing.as_json:
        print_json({"run": str(of.run), **chosen.to_json()})
