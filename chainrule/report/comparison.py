"""One page on which nets and other models stand side by side on the same cases."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import chainrule
from chainrule.plots.comparison import standings
from chainrule.plots.figure import to_png
from chainrule.report.page import Facts, Table, write

if TYPE_CHECKING:
    from chainrule.evaluate.significance import Comparison


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """One self-contained HTML file: who got how many wrong, and every pair. Raises InputError where it cannot be written."""
    heads, *nets = comparison.scored()
    pair_heads, *pairs = comparison.paired()
    cases = f"{comparison.n:,} test cases, the same for all"
    pictures = []
    if comparison.counted:
        shares = [score / comparison.n for score in comparison.scores]
        pictures = [(f"Errors on {cases}", to_png(standings(comparison.names, shares, comparison.shares())))]
    order = sorted(range(len(nets)), key=lambda i: comparison.scores[i])
    return write(out, Facts(
        title=f"{len(nets)} models on the same cases", pictures=pictures,
        tables=[Table("Each alone", heads, [nets[i] for i in order], f"{cases}, the best first."),
                Table("In pairs", [*pair_heads, "verdict"],
                      [[*row, pair.verdict.split(":")[0]] for row, pair in zip(pairs, comparison.pairs, strict=True)],
                      f"{comparison.test[:1].upper()}{comparison.test[1:]}.")],
        versions={"chainrule": chainrule.__version__, "torch": torch.__version__, "python": platform.python_version()}))
