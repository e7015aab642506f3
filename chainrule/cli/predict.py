"""The `predict` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import OfRun, Printing, Writing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required
from chainrule.core.text import counted
from chainrule.workflows.options import Flagging, Sampling, Searching


@dataclass(frozen=True)
class NewRows:
    """What is predicted."""

    data: str = required("New rows, in the form the run was trained on.", positional=True)


@command()
def predict(of: OfRun, rows: NewRows, sampling: Sampling, searching: Searching, flagging: Flagging, writing: Writing,
            printing: Printing) -> None:
    """Write predictions with probabilities. Example: chainrule predict runs/iris-mlp-1 new.csv --out predictions.csv"""
    from chainrule.workflows.anomaly import flag_of
    from chainrule.workflows.open import open_run
    from chainrule.workflows.predict import predict_to

    path = writing.out or Path("predictions.csv")
    run = open_run(of.run)
    flag = None if flagging.anomaly is None else flag_of(run.trained, run.validation, flagging.anomaly)
    n = predict_to(run.trained, rows.data, path, samples=sampling.samples, beam=searching.beam, flag=flag,
                   overwrite=writing.overwrite)
    say(f"{counted(n, 'prediction')} in {path}")
    if printing.as_json:
        print_json({"n": n, "out": str(path)})
