"""Where a formula is lowest, highest or zero, with the way there: the first lesson in descending.

Raphson (1690), Analysis aequationum universalis; Cauchy (1847), C. R. Acad. Sci. 25:536; Bolzano (1817)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import ChainruleError, InputError, suggest
from chainrule.core.options import check
from chainrule.core.text import counted, table
from chainrule.optim.solvers.formula import Formula, read
from chainrule.optim.solvers.roots import Solution, bisection, gradient_descent, newton_raphson
from chainrule.workflows.options import Solving

SHOWN = 10          # steps of the way that are printed, the first of them and the last
NAMES = {"newton": "Newton-Raphson", "gradient": "gradient descent", "bisection": "bisection"}
USUAL = Solving()
FLAT = 1e-9         # curvature below this is none


@dataclass(frozen=True)
class Solved:
    """What was sought of a formula, by which way; where it ended, the value there, and every point on the way (steps + 1, d)."""

    formula: str
    find: str
    by: str
    point: dict[str, float]
    value: float
    steps: int
    path: Tensor

    def to_json(self) -> dict[str, Any]:
        return {"formula": self.formula, "find": self.find, "by": self.by, "point": self.point, "value": self.value, "steps": self.steps,
                "path": self.path.tolist()}

    def __str__(self) -> str:
        at = ", ".join(f"{name} = {number(value)}" for name, value in self.point.items())
        rows = [["step", *self.point]]
        count = len(self.path)
        chosen = [*range(min(count, SHOWN - 1)), *([count - 1] if count >= SHOWN else [])]
        rows += [[str(i), *(number(v) for v in self.path[i].tolist())] for i in chosen]
        if count > SHOWN:
            rows.insert(-1, ["...", *[""] * len(self.point)])
        value = "" if self.find == "root" else f", value {number(self.value)}"
        return "\n".join([f"{self.find.capitalize()} of {self.formula}: {at}{value}, after {counted(self.steps, 'step')} of {self.by}",
                          *table(rows, left=())])


def solve(text: str, solving: Solving = USUAL) -> Solved:
    """Where the formula in `text` is lowest, highest or zero.

    Raises InputError for a formula or a way that does not fit, ChainruleError where the way ends nowhere.

    >>> solution = solve("x^2 + y^2 - 6x + 10")
    >>> solution.point, solution.value, solution.steps
    ({'x': 3.0, 'y': 0.0}, 1.0, 2)
    """
    check(solving)
    formula = read(text)
    upward = solving.find == "maximum"

    def sought(x: Tensor) -> Tensor:
        return -formula(x) if upward else formula(x)

    ended = _bisected(formula, sought, solving) if solving.by == "bisection" else _stepped(formula, sought, solving)
    x = ended.x.reshape(-1)
    by = NAMES[solving.by].replace("descent", "ascent") if upward else NAMES[solving.by]
    if not ended.converged:
        raise ChainruleError(f"{by} did not come to a {solving.find} of {text} in {ended.steps} steps; the last point is "
                             f"{_point(formula, x)}. {_remedy(solving)}")
    if solving.find != "root":
        _refuse_other(formula, sought, x, solving.find)
    point = dict(zip(formula.names, x.tolist(), strict=True))
    return Solved(text, solving.find, by, point, float(formula(ended.x)), ended.steps, ended.path.reshape(-1, len(formula.names)))


def number(value: float) -> str:
    """With nine significant digits; a zero without its sign.

    >>> number(3.0), number(-0.0), number(0.1 + 0.2)
    ('3', '0', '0.3')
    """
    return f"{value + 0.0:.9g}"


def _bisected(formula: Formula, sought: Any, solving: Solving) -> Solution:
    if len(formula.names) != 1:
        raise InputError(f"bisection is for one variable; {formula.text} has {', '.join(formula.names)}. Use --by newton or gradient.")
    if solving.low is None or solving.high is None:
        raise InputError("bisection needs two ends: write e.g. --low -10 --high 10.")
    slope = torch.func.grad(sought) if solving.find != "root" else sought
    return bisection(slope, solving.low, solving.high, most=solving.most)


def _stepped(formula: Formula, sought: Any, solving: Solving) -> Solution:
    if solving.find == "root" and solving.by == "gradient":
        raise InputError("gradient goes to a minimum or a maximum, not to a root. Use --by newton or bisection, or --find minimum.")
    if solving.find == "root" and len(formula.names) > 1:
        raise InputError(f"the roots of a formula of several variables ({', '.join(formula.names)}) are no points. Use --find minimum.")
    start = _start(formula, solving.start)
    if solving.by == "newton":
        return newton_raphson(sought, start, minimise=solving.find != "root", most=solving.most)
    return gradient_descent(sought, start, rate=solving.rate, most=solving.most)


def _start(formula: Formula, text: str | None) -> Tensor:
    """The numbers (d,) to begin with. Raises InputError for a name or number that is none."""
    values = dict.fromkeys(formula.names, 0.0)
    for part in filter(str.strip, (text or "").split(",")):
        name, _, value = (one.strip() for one in part.partition("="))
        if name not in values:
            raise InputError(f"--start: {formula.text} has no variable '{name}'. {suggest(name, formula.names)}")
        try:
            values[name] = float(value)
        except ValueError:
            raise InputError(f"--start expects {name} to be a number; got '{value}'. Write e.g. --start {name}=1.") from None
    return torch.tensor(list(values.values()), dtype=torch.float64)


def _refuse_other(formula: Formula, sought: Any, x: Tensor, find: str) -> None:
    """Raises ChainruleError where the slope is zero but the point is no minimum of what is sought: Newton's method goes to any."""
    bends = torch.linalg.eigvalsh(torch.func.hessian(sought)(x).reshape(len(x), -1))
    if float(bends[0]) >= -FLAT:
        return
    other = {"minimum": "maximum", "maximum": "minimum"}[find] if float(bends[-1]) <= FLAT else "saddle point"
    raise ChainruleError(f"{_point(formula, x)} is a {other} of {formula.text}, not a {find}. Start elsewhere, or use --by gradient.")


def _point(formula: Formula, x: Tensor) -> str:
    return ", ".join(f"{name} = {number(value)}" for name, value in zip(formula.names, x.tolist(), strict=True))


def _remedy(solving: Solving) -> str:
    if solving.by == "gradient":
        return f"Use a smaller --rate than {solving.rate:g}, or more steps with --most; or there is none."
    return "Start elsewhere, give more steps with --most; or there is none."
