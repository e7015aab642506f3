"""Root finders on parabolas whose answers are known, on what has none, and their rates of convergence."""

import itertools
import math

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.optim.solvers.roots import bisection, gradient_descent, newton_raphson


def parabola(x):
    return x**2 - 6 * x + 10


def slope(x):
    return 2 * x - 6


def bowl(p):
    return p[0] ** 2 + p[1] ** 2 - 6 * p[0] + 10


def test_the_parabola_is_lowest_at_three_where_it_is_one():
    for found in (newton_raphson(parabola, -5.0, minimise=True), gradient_descent(parabola, -5.0)):
        assert found.converged
        assert float(found.x) == pytest.approx(3, abs=1e-6)
        assert found.value == pytest.approx(1, abs=1e-12)
    for found in (bisection(slope, -1.0, 8.0), newton_raphson(slope, 20.0)):
        assert found.converged
        assert float(found.x) == pytest.approx(3, abs=1e-6)


def test_the_bowl_is_lowest_at_three_and_nought():
    start = torch.tensor([-4.0, 7.0])
    for found in (newton_raphson(bowl, start, minimise=True), gradient_descent(bowl, start)):
        assert found.converged
        torch.testing.assert_close(found.x, torch.tensor([3.0, 0.0], dtype=torch.double), atol=1e-6, rtol=0)
        assert found.value == pytest.approx(1, abs=1e-10)
        assert torch.equal(found.path[0], start.double())
        assert torch.equal(found.path[-1], found.x)


def test_newton_solves_a_parabola_in_one_step():
    assert newton_raphson(bowl, torch.tensor([-4.0, 7.0]), minimise=True).path[1].tolist() == pytest.approx([3, 0])


@pytest.mark.parametrize("find", [lambda f: bisection(f, 0.0, 2.0), lambda f: newton_raphson(f, 1.5)])
def test_the_root_of_two(find):
    found = find(lambda x: x**2 - 2)
    assert found.converged
    assert float(found.x) == pytest.approx(math.sqrt(2), abs=1e-9)


def test_bisection_halves_and_newton_squares_the_error():
    path = bisection(lambda x: x**2 - 2, 0.0, 2.0).path
    assert all(abs(float(x) - math.sqrt(2)) <= 2 ** -i for i, x in enumerate(path))
    off = [abs(float(x) - math.sqrt(2)) for x in newton_raphson(lambda x: x**2 - 2, 2.0).path[:4]]
    assert [b / a**2 for a, b in itertools.pairwise(off)] == pytest.approx([1 / 4, 1 / 3, 0.353], rel=0.03)  # 1 / (2 x)


def test_gradient_descent_shrinks_the_error_by_its_known_factor_and_runs_away_at_too_large_a_rate():
    path = gradient_descent(parabola, 4.0, rate=0.1, most=5).path
    assert [float(x) for x in path] == pytest.approx([3 + 0.8**i for i in range(len(path))])
    assert not gradient_descent(parabola, 4.0, rate=1.5, most=5000).converged
    assert not gradient_descent(parabola, 4.0, rate=1e-9, most=50).converged


def test_a_zero_at_an_end_is_found_at_once():
    found = bisection(slope, 3.0, 8.0)
    assert (float(found.x), found.steps, found.converged) == (3.0, 0, True)


def test_what_has_no_answer_is_refused():
    with pytest.raises(InputError, match=r"signs; got f\(0.0\) = 10 and f\(8.0\) = 26"):
        bisection(parabola, 0.0, 8.0)
    with pytest.raises(InputError, match="low < high"):
        bisection(slope, 8.0, -1.0)
    assert not newton_raphson(parabola, 0.0).converged  # it has no zero to find
    with pytest.raises(InputError, match=r"from 3: the slope is zero or no number there\. Start elsewhere"):
        newton_raphson(parabola, 3.0)
    with pytest.raises(InputError, match="Hessian is singular"):
        newton_raphson(lambda p: p[0] + p[1], torch.zeros(2), minimise=True)
    with pytest.raises(InputError, match="functions of one number; got a start of 2"):
        newton_raphson(bowl, torch.zeros(2))
    with pytest.raises(InputError, match="rate to be a number above 0; got 0"):
        gradient_descent(parabola, 1.0, rate=0)
