"""Formulas read and solved: against Python's own arithmetic, sympy-free closed forms, and what each way must refuse."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.cli.main import run_command
from chainrule.core.errors import ChainruleError, InputError
from chainrule.optim.solvers.formula import read
from chainrule.workflows.options import Solving
from chainrule.workflows.solve import solve

LEAVES = st.one_of(st.sampled_from(["x", "y"]), st.integers(0, 9).map(str), st.sampled_from(["2.5", ".5", "1e1"]))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from([" + ", "-", "*", " / "]), inner).map("".join), inner.map(lambda text: f"({text})"),
    inner.map(lambda text: f"-{text}"), inner.map(lambda text: f"({text})^2"), inner.map(lambda text: f"tanh({text})")), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_formulas_are_what_python_makes_of_them(text):
    x, y = 1.25, -0.75
    try:
        expected = eval(text.replace("^", "**"), {"tanh": math.tanh}, {"x": x, "y": y})
    except ZeroDivisionError:
        return
    formula = read(f"{text} + 0x + 0y")
    values = torch.tensor([{"x": x, "y": y}[name] for name in formula.names], dtype=torch.float64)
    assert float(formula(values)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("text", "at", "value"), [
    ("6x", 2.0, 12.0), ("2(x + 1)(x - 1)", 3.0, 16.0), ("1/2x", 4.0, 2.0), ("-x^2", 3.0, -9.0), ("2^-x", 2.0, 0.25), ("2x^2", 3.0, 18.0),
    ("x^3^2", 2.0, 512.0), ("x(x + 1)", 2.0, 6.0), ("e^x + 0pi", 1.0, math.e), ("sqrt(x) exp(0)", 9.0, 3.0), ("x ** 2", 3.0, 9.0),
])
def test_products_without_a_sign_and_powers(text, at, value):
    assert float(read(text)(torch.tensor(at, dtype=torch.float64))) == pytest.approx(value)


@pytest.mark.parametrize(("text", "words"), [
    ("x^2 +", "character 6: its end"), ("x^2 + )", "character 7: '\\)'"), ("(x", "character 3: its end"), ("x $ 2", "character 3: '\\$'"),
    ("3 + 4", "has no variable"), ("sine(x)", "Did you mean sin"), ("sin x", "sin without brackets"), ("(x y", "its end"), ("x)", "'\\)'"),
])
def test_what_cannot_be_read_is_named_with_its_place(text, words):
    with pytest.raises(InputError, match=words):
        read(text)


@pytest.mark.parametrize("by", ["newton", "gradient"])
def test_the_lectures_paraboloids(by):
    assert solve("x^2 - 6x + 10", Solving(by=by)).point["x"] == pytest.approx(3, abs=1e-6)
    assert list(solve("x^2+y^2-6x+10", Solving(by=by, start="x=-4,y=5")).point.values()) == pytest.approx([3, 0], abs=1e-6)
    assert solve("6x - x^2 - 10", Solving(find="maximum", by=by)).value == pytest.approx(-1, abs=1e-6)


def test_every_step_of_gradient_descent_is_on_the_path():
    """x - 0.1 (2 x - 6) from zero: 0.6, 1.08, 1.464."""
    solution = solve("x^2 - 6x + 10", Solving(by="gradient"))
    assert solution.path[:4, 0].tolist() == pytest.approx([0, 0.6, 1.08, 1.464])
    assert len(solution.path) == solution.steps + 1


def test_bisection_halves_between_its_ends():
    solution = solve("x^2 - 2", Solving(find="root", by="bisection", low=0, high=2))
    assert solution.point["x"] == pytest.approx(2**0.5, abs=1e-8)
    assert solution.path[:3, 0].tolist() == [1.0, 1.5, 1.25]


@pytest.mark.parametrize(("text", "given", "error", "words"), [
    ("x^2 - y^2", {}, ChainruleError, "saddle point of"),
    ("-x^2", {"start": "x=1"}, ChainruleError, "is a maximum of -x\\^2, not a minimum"),
    ("x^2", {"by": "gradient", "rate": 2.0, "start": "x=1"}, ChainruleError, "smaller --rate than 2"),
    ("x^2", {"by": "bisection"}, InputError, "--low -10 --high 10"), ("x^2 + y", {"by": "bisection"}, InputError, "one variable"),
    ("x + y", {"find": "root"}, InputError, "are no points"), ("x", {"find": "root", "by": "gradient"}, InputError, "not to a root"),
    ("x^2", {"start": "z=1"}, InputError, "has no variable 'z'"), ("x^2", {"start": "x=one"}, InputError, "x to be a number"),
    ("x^2", {"find": "lowest"}, InputError, "--find is minimum, maximum or root"), ("2x", {}, InputError, "Hessian is singular"),
])
def test_what_leads_nowhere_is_said(text, given, error, words):
    with pytest.raises(error, match=words):
        solve(text, Solving(**given))


def test_the_command_prints_where_it_ended_and_the_way(capsys):
    assert run_command(["solve", "x^2+y^2-6x+10", "--by", "gradient", "--json"]) == 0
    *said, last = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Minimum of x^2+y^2-6x+10: x = 3, y = 0, value 1, after ")
    assert said[1].split() == ["step", "x", "y"]
    assert json.loads(last)["point"] == {"x": pytest.approx(3), "y": 0}
    assert run_command(["solve", "x^2", "--by", "gradient", "--rate", "2", "--start", "x=1"]) == 1
    assert run_command(["solve", "x^^2"]) == 2
