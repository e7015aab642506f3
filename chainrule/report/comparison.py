"""One page on which nets and other models stand side by side on the same cases."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import chainrule
from chainrule.core.flow import Flow
from chainrule.plots.comparison import standings
from chainrule.plots.figure import to_file
from chainrule.report.facts import Facts, Table
from chainrule.report.page import write

if TYPE_CHECKING:
    from chainrule.evaluate.significance import Comparison

MOST_VERDICTS = 6   # sentences on top, those of further pairs stand in the table; and runs whose layers are drawn


def write_comparison(comparison: Comparison, out: Path, flows: Sequence[tuple[str, Mapping[str, Flow]]] = ()) -> Path:
    """One self-contained HTML file: the verdicts, who got how many wrong, every pair, and `flows` of runs by name on one scale.

    Raises InputError where it cannot be written.
    """
    heads, *nets = comparison.scored()
    pair_heads, *pairs = comparison.paired()
    cases = f"{comparison.n:,} test cases, the same for all"
    pictures = []
    if comparison.counted:
        shares = [score / comparison.n for score in comparison.scores]
        pictures = [(f"Errors on {cases}", to_file(standings(comparison.names, shares, comparison.shares())))]
    order = sorted(range(len(nets)), key=lambda i: comparison.scores[i])
    verdicts = [pair.verdict for pair in comparison.pairs]
    more = [Table("Verdicts", ["a", "b", "verdict"], [[p.a, p.b, p.verdict] for p in comparison.pairs], "", prose=True)]
    return write(out, Facts(
        title=f"{len(nets)} models on the same cases", pictures=pictures, verdicts=verdicts[:MOST_VERDICTS], flows=flows[:MOST_VERDICTS],
        tables=[Table("Each alone", heads, [nets[i] for i in order], f"{cases}, the best first."),
                Table("In pairs", pair_heads, pairs, f"{comparison.test[:1].upper()}{comparison.test[1:]}."),
                *(more if len(verdicts) > MOST_VERDICTS else [])],
        versions={"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()}))
