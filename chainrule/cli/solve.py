"""The `solve` command."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required
from chainrule.workflows.options import Solving


@dataclass(frozen=True)
class Written:
    """The formula."""

    formula: str = required("E.g. 'x^2 + y^2 - 6x + 10': + - * / ^, brackets, exp log sqrt sin cos tan tanh abs, pi, e.", positional=True)


@command()
def solve(written: Written, solving: Solving, printing: Printing) -> None:
    """Find where a formula is lowest, highest or zero, step by step. Example: chainrule solve 'x^2 - 6x + 10'"""
    from chainrule.workflows.solve import solve

    solution = solve(written.formula, solving)
    say(str(solution))
    if printing.as_json:
        print_json(solution.to_json())
