"""The commands that judge what was trained: `test` and `compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Listing, OfRun, Printing, Writing, command
from chainrule.cli.output import drawn_since, pictures_of, print_json, say, say_files, say_result
from chainrule.core.options import option, required


@dataclass(frozen=True)
class OtherData:
    """What is measured on instead of the test part."""

    on: str | None = option(None, "Other data with targets, in the same form.")


@dataclass(frozen=True)
class Rivals:
    """What is compared."""

    several: list[Path] = required("Run folders, and models to fit beside them: knn, svm, forest, ...", positional=True,
                                   metavar="RUN RUN...")


@command()
def test(of: OfRun, other: OtherData, listing: Listing, printing: Printing) -> None:
    """Open the test part, count the opening, measure with intervals. Example: chainrule test runs/digits-mlp-1"""
    from chainrule.workflows.open import open_run

    run = open_run(of.run)
    before = pictures_of(run.path)
    result = run.test() if other.on is None else run.test_on(other.on)
    say_result(result, listing.full)
    if other.on is None:
        say_files("Written", drawn_since(before, run.path))
    if printing.as_json:
        print_json({"run": str(of.run), **result.to_dict()})


@command()
def compare(rivals: Rivals, writing: Writing, printing: Printing) -> None:
    """Test whether runs really differ on the same cases. Example: chainrule compare runs/mnist-lenet-1 runs/mnist-softmax-1"""
    from chainrule.workflows.compare import compare

    comparison = compare(*rivals.several, out=writing.out, overwrite=writing.overwrite)
    say(str(comparison))
    if writing.out is not None:
        say(f"Page: {writing.out}")
    if printing.as_json:
        print_json(comparison.to_dict())
