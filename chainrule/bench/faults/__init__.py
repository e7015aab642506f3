"""Faulty programs: does the doctor find what was planted, name the right cause first, and stay silent where nothing is wrong?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def main(half: Annotated[str, typer.Option(help="tune, report, or both; the halves are drawn by a stated seed.")] = "tune",
         seeds: Annotated[int, typer.Option(help="Seeds of each program.")] = 3,
         only: Annotated[str, typer.Option(help="Programs, joined by commas, with their twins; the whole half where left out.")] = "",
         remedies: Annotated[bool, typer.Option(help="Train once more with each printed remedy.")] = True,
         processes: Annotated[int, typer.Option(help="Programs that run at a time, each on one thread.")] = 1,
         out: Annotated[Path | None, typer.Option(help="Where outcomes are kept, so that an interrupted benchmark goes on; "
                                                       "thrown away where left out.")] = None,
         short: Annotated[bool, typer.Option("--short", help="Some clear programs of one seed, in about a minute.")] = False,
         record: Annotated[bool, typer.Option("--record", help="Keep the figures in docs/results.md of a checkout.")] = False) -> None:
    """More than a hundred faulty programs and as many healthy ones, judged by the doctor and by four published rule sets."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from chainrule.bench.faults.report import benchmark
    from chainrule.bench.harness import tell

    with tempfile.TemporaryDirectory() as folder:
        lines = benchmark(half, range(1 if short else seeds), only=only, short=short, remedies=remedies, processes=processes,
                          folder=out or Path(folder))
    tell("faults", lines, record)
