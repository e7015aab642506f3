"""The system by its formula, from the windows alone."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError


def test_answers_obey_the_published_formula():
    source = cr.load("narma10:count=300,lags=20")
    x, y = source.inputs[..., 0], source.targets
    assert torch.equal(x[1:, :-1], x[:-1, 1:])
    for row in range(10, 300):
        past = y[row - 10 : row].flip(0)                        # y[t], y[t-1], ..., y[t-9]
        wanted = 0.3 * past[0] + 0.05 * past[0] * past.sum() + 1.5 * x[row, -10] * x[row, -1] + 0.1
        assert float(y[row]) == pytest.approx(float(wanted), rel=1e-9)


def test_too_few_lags_are_refused():
    with pytest.raises(InputError, match="at least 10 lags"):
        cr.load("narma10:lags=5")
