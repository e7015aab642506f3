"""The `doctor` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required


@dataclass(frozen=True)
class Patient:
    """What is to be looked at."""

    run: Path = required("A run folder, finished or not, or that of a sweep or a committee.", positional=True)


@command()
def doctor(patient: Patient, printing: Printing) -> None:
    """What is wrong with a run, first cause first, with evidence and remedy. Example: chainrule doctor runs/digits-mlp-1"""
    from chainrule.workflows.doctor import doctor

    diagnoses = doctor(patient.run)
    say(str(diagnoses))
    if printing.as_json:
        print_json(diagnoses.to_json())
