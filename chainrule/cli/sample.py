"""The `sample` command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.cli.options import OfRun, Printing, Writing, command
from chainrule.cli.output import print_json, say, to_stderr
from chainrule.core.options import option
from chainrule.core.sampling import Request
from chainrule.core.text import counted


@dataclass(frozen=True)
class Showing:
    """How samples are shown, and what they are set beside."""

    visible: bool = option(False, "Show blanks, tabs and line ends of texts as signs.")
    against: str | None = option(None, "Say how far samples are from rows: the Frechet distance by the features of a RUN, or by the "
                                       "numbers of DATA.",
                                 metavar="RUN|DATA", example="runs/mnist-lenet-1")


@command()
def sample(of: OfRun, request: Request, showing: Showing, writing: Writing, printing: Printing) -> None:
    """Draw from a net that generates. Example: chainrule sample runs/tinyshakespeare-rnn-1 --given ROMEO: --temperature 0.8"""
    from chainrule.workflows.likeness import likeness
    from chainrule.workflows.open import open_run
    from chainrule.workflows.sample import samples_of, text_of, write_samples

    trained = open_run(of.run).trained
    drawn = samples_of(trained, request)
    far = None if showing.against is None else likeness(trained, drawn, showing.against)
    for note in drawn.notes:
        to_stderr(note)
    out = writing.out if drawn.texts else writing.out or of.run / "samples.csv"
    if out is None:
        say(text_of(drawn, showing.visible).removesuffix("\n"))
        facts: dict[str, Any] = {"n": len(drawn), "texts": list(drawn.texts)}
    else:
        facts = {"n": len(drawn), "out": str(write_samples(drawn, out, writing.overwrite, showing.visible))}
        say(f"{counted(len(drawn), 'sample')} in {out}")
    if far is not None:
        say(str(far))
        facts["against"] = far._asdict()
    if printing.as_json:
        print_json(facts)
