"""Quantiles against scipy's, and without it."""

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from chainrule.core.errors import InputError
from chainrule.evaluate.quantiles import at_most_heads, beyond, student


@settings(max_examples=200, deadline=None)
@given(level=st.floats(0.01, 0.9999), freedom=st.one_of(st.floats(1, 50), st.floats(50, 1e8), st.just(math.inf)))
def test_student_agrees_with_scipy(level, freedom):
    upper = 1 - (1 - level) / 2
    theirs = special.ndtri(upper) if math.isinf(freedom) else special.stdtrit(freedom, upper)
    assert student(level, freedom) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 4.0, 40.0])
def test_the_tail_of_one_and_of_two_degrees_is_the_closed_form(t):
    assert beyond(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-9)
    assert beyond(t, 2) == pytest.approx(0.5 * (1 - t / math.sqrt(2 + t * t)), rel=1e-9)


@settings(max_examples=200, deadline=None)
@given(throws=st.one_of(st.integers(1, 60), st.integers(60, 100_000)), share=st.floats(0, 0.5))
def test_the_binomial_tail_agrees_with_scipy(throws, share):
    heads = int(share * throws)
    assert at_most_heads(heads, throws) == pytest.approx(float(special.bdtr(heads, throws, 0.5)), rel=1e-8, abs=1e-300)


def test_the_binomial_tail_is_the_sum_of_its_terms():
    for throws in (1, 2, 7, 40):
        for heads in range(throws // 2 + 1):
            by_counting = sum(math.comb(throws, k) for k in range(heads + 1)) / 2**throws
            assert at_most_heads(heads, throws) == pytest.approx(by_counting, rel=1e-12)


def test_a_level_outside_of_zero_to_one_is_refused():
    with pytest.raises(InputError, match=r"between 0 and 1; got 95"):
        student(95, 10)


def test_a_whole_training_imports_no_scipy(tmp_path):
    """The verdict on the finished run compares it with the constant answer."""
    code = ("import sys, chainrule as cr; cr.train('digits', net='mlp:hidden=4', steps=1, plan='eager', progress=False, "
            f"out={str(tmp_path / 'r')!r}); print('scipy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_validating_classes_imports_no_scipy():
    """It took a tenth of the time from `import chainrule` to the first step."""
    code = ("import sys, torch; from chainrule.evaluate.measures import classification as c; "
            "c(torch.eye(3).repeat(9, 1) * 0.7 + 0.1, torch.arange(27) % 3, ['a', 'b', 'c'], seed=0); print('scipy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
