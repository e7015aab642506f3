"""The line search against the conditions it promises, where polynomials of known bottoms lead it, and what is not finite."""

import pytest
import torch

from chainrule.optim.solvers.linesearch import Trial, wolfe


def one_dimensional(f):
    """A function of the length alone, as the search reads it, and the lengths it was asked for."""
    asked = []

    def at(length):
        asked.append(length)
        t = torch.tensor(length, dtype=torch.double, requires_grad=True)
        value = f(t)
        (slope,) = torch.autograd.grad(value, t)
        return Trial(length, float(value.detach()), float(slope), slope.reshape(1))

    return at, asked


# The first two are of More & Thuente (1994), https://doi.org/10.1145/192115.192132, section 5, with the c1 and c2 used there.
LINES = {"rational": (lambda t: -t / (t * t + 2), 1e-3, 0.1), "steep": (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, 0.1, 0.1),
         "smooth": (lambda t: (((1 - t) ** 2 + 1e-4).sqrt() * 0.1 + (t * t + 0.01).sqrt()) - t, 1e-3, 0.3),
         "wavy": (lambda t: (3 * t).cos() + 0.1 * t * t - t, 1e-4, 0.1)}


@pytest.mark.parametrize("first", [1e-3, 0.1, 10.0, 1000.0])
@pytest.mark.parametrize("name", LINES)
def test_a_length_found_satisfies_the_strong_wolfe_conditions(name, first):
    f, c1, c2 = LINES[name]
    at, asked = one_dimensional(f)
    start = at(0.0)
    found, well = wolfe(at, start, first, c1=c1, c2=c2, evaluations=40)
    assert well
    assert start.slope < 0
    assert found.value <= start.value + c1 * found.length * start.slope
    assert abs(found.slope) <= c2 * abs(start.slope)
    assert found.length in asked
    assert len(asked) <= 30


def test_a_search_finds_the_bottom_of_a_parabola_in_two_trials_and_of_a_cubic_in_three():
    """Between, or beyond, trials of a polynomial of that degree the cubic through them is the polynomial."""
    for first in (0.3, 5.0):
        at, asked = one_dimensional(lambda t: (t - 2) ** 2)
        found, well = wolfe(at, at(0.0), first, c1=1e-4, c2=1e-9, evaluations=10)
        assert well
        assert abs(found.length - 2) < 1e-8
        assert len(asked) == 3
    at, asked = one_dimensional(lambda t: t**3 - 3 * t)
    found, well = wolfe(at, at(0.0), 3.0, c1=1e-4, c2=1e-6, evaluations=10)
    assert abs(found.length - 1) < 1e-6
    assert len(asked) <= 4


def test_a_search_that_meets_what_is_not_finite_comes_back_to_what_is():
    at, _ = one_dimensional(lambda t: -(1 - t).log() - 3 * t)  # no logarithm beyond 1; the bottom is at 2/3
    found, well = wolfe(at, at(0.0), 50.0, c1=1e-4, c2=0.1, evaluations=25)
    assert well
    assert 0.5 < found.length < 0.8


def test_a_search_without_success_returns_the_best_it_saw():
    at, asked = one_dimensional(lambda t: -t)  # falls for ever: no length is flat
    found, well = wolfe(at, at(0.0), 1.0, c1=1e-4, c2=0.1, evaluations=5)
    assert not well
    assert len(asked) == 6
    assert found.length == max(asked)
    at, asked = one_dimensional(lambda t: t.abs() if t == 0 else t.abs() + 1)
    found, well = wolfe(at, at(0.0)._replace(slope=-1.0), 1.0, c1=1e-4, c2=0.1, evaluations=5)
    assert not well
    assert found.length == 0
