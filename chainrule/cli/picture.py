"""The `picture` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Printing, Writing, command
from chainrule.cli.output import print_json, say
from chainrule.core.errors import InputError
from chainrule.core.files import writable
from chainrule.core.options import option, required, same
from chainrule.workflows.options import Drawing


@dataclass(frozen=True)
class Subject:
    """What is drawn, and into which file."""

    what: str = required("A run folder; or paths, a race of optimizers that takes no run; or for graph a formula.", positional=True,
                         metavar="RUN")
    kind: str | None = option(None, "boundary, weights, filters, activations, saliency, occlusion, attention, surface, "
                              "histograms, flow, fantasies, graph; of codes: codes, neighbours, interpolation or manifold.",
                              positional=True)
    out: Path | None = option(None, "The file to write: PNG, or SVG where its name ends so.")
    overwrite: bool = same(Writing, "overwrite")


@command()
def picture(subject: Subject, drawing: Drawing, printing: Printing) -> None:
    """Draw a run, optimizers racing downhill, or the chain rule. Example: chainrule picture runs/digits-mlp-1 histograms"""
    from chainrule.workflows.drawing import FORMULA, PATHS, check_suited
    from chainrule.workflows.optimizer_race import race, split_specs
    from chainrule.workflows.picture import KINDS, Drawn, formula_picture, is_formula, picture, write
    from chainrule.workflows.run import Run

    if subject.what == PATHS and subject.kind is None:
        check_suited(PATHS, drawing)
        path = writable(subject.out or Path("paths.png"), subject.overwrite)
        descents, figure = race(split_specs(drawing.optimizers), drawing.on)
        figures = [{"optimizer": d.spec, "steps": len(d.path) - 1, "height": d.heights[-1]} for d in descents]
        drawn = Drawn(write(figure, path), figures)
    elif subject.kind is None:
        raise InputError(f"expected a kind of picture after {subject.what}: {', '.join(KINDS)}; or paths alone.")
    elif subject.kind == "graph" and is_formula(subject.what):
        check_suited(FORMULA, drawing)
        drawn = formula_picture(subject.what, drawing.at, subject.out, overwrite=subject.overwrite)
    else:
        if subject.kind in KINDS:
            check_suited(subject.kind, drawing)
        drawn = picture(Run(subject.what), subject.kind, subject.out, plane=drawing.plane, row=drawing.row, layer=drawing.layer,
                        when=drawing.when, reading=drawing.reading, against=drawing.against, overwrite=subject.overwrite)
    for line in drawn.lines:
        say(line)
    say(str(drawn.path))
    if printing.as_json:
        print_json({"out": str(drawn.path), "figures": drawn.figures})
