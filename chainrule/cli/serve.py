"""The `serve` command."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say, to_stderr
from chainrule.core.errors import InputError
from chainrule.core.options import option


@dataclass(frozen=True)
class Serving:
    """What is shown, and where."""

    runs: Path = option(Path("runs"), "A folder of runs, or one run.", positional=True)
    port: int = option(8417, "The port of this machine; where it is taken, the next free one.", least=0, most=65535)
    no_open: bool = option(False, "Do not open a browser.")


@command()
def serve(serving: Serving, printing: Printing) -> None:
    """Show runs, live and finished, in a browser of this machine. Example: chainrule serve runs"""
    from chainrule.serve.server import serve

    if not serving.runs.is_dir():
        raise InputError(f"There is no folder {serving.runs}. Name the folder that holds your runs; chainrule train makes one.")

    def announce(text: str) -> None:
        if not text.startswith("http"):
            to_stderr(text)
            return
        to_stderr("Ctrl-C ends it.")
        if printing.as_json:
            print_json({"url": text})
        else:
            say(text)
        sys.stdout.flush()

    serve(serving.runs, port=serving.port, browser=not serving.no_open, announce=announce)
