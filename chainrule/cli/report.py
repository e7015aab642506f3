"""The commands that write a run into a file for others: `report` and `export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import OfRun, Printing, Writing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required


@dataclass(frozen=True)
class Format:
    """What is written."""

    to: str = required("onnx, pt2 or safetensors.")


@dataclass(frozen=True)
class Reported:
    """What a page is about."""

    of: list[Path] = required("The folder of a run, a committee, a sweep, a check or rates; or several runs, to be compared.",
                              positional=True, metavar="RUN...")


@command()
def report(reported: Reported, writing: Writing, printing: Printing) -> None:
    """Write one self-contained HTML file. Example: chainrule report runs/digits-mlp-1"""
    from chainrule.workflows.report_of import report as written

    path = written(*reported.of, out=writing.out, overwrite=writing.overwrite)
    say(str(path))
    if printing.as_json:
        print_json({"out": str(path)})


@command()
def export(of: OfRun, form: Format, writing: Writing, printing: Printing) -> None:
    """Export the best net, checked on the data's own rows. Example: chainrule export runs/digits-mlp-1 --to onnx"""
    from chainrule.workflows.open import open_run

    path, difference = open_run(of.run).export(form.to, writing.out, writing.overwrite)
    say(f"{path}: answers differ from the original's by at most {difference:.1e} on the data's own rows")
    if printing.as_json:
        print_json({"out": str(path), "max_difference": difference})
