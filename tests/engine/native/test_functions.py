"""Elementary functions of the C kernels against the C library in double precision."""

import ctypes
import math

import numpy as np
import pytest
import torch


def applied(kernels, name, x):
    y = torch.empty_like(x)
    getattr(kernels.library, f"map_{name}")(ctypes.c_long(len(x)), ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()))
    return y.numpy()


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


FUNCTIONS = {  # with the most units in the last place, which where nothing multiplies and adds at once are 1.54 for expm1
    "exp": (np.exp, 1.0), "expm1": (np.expm1, 1.75), "log": (np.log, 1.0), "log1p": (np.log1p, 1.5), "tanh": (np.tanh, 1.5),
    "sigmoid": (sigmoid, 2.5)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_over_all_single_precision_numbers(made, name):
    """Every 2003rd bit pattern, NaN, infinities and subnormals among them, against the C library in double precision."""
    exact, most = FUNCTIONS[name]
    special = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 88.8, -103.9, 1e-45, -1e-45, 3.4e38], dtype=np.float32)
    every = np.arange(0, 2**32, 2003, dtype=np.uint32).view(np.float32)
    x = np.concatenate([every, special, np.linspace(-4, 4, 400_001, dtype=np.float32)])
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64))
        rounded = want.astype(np.float32)
    got = applied(made["one thread"], name, torch.from_numpy(x))
    assert np.array_equal(np.isnan(got), np.isnan(rounded))
    assert np.array_equal(got[np.isinf(rounded)], rounded[np.isinf(rounded)])
    finite = np.isfinite(rounded)
    unit = np.maximum(np.spacing(np.abs(rounded[finite])).astype(np.float64), 2.0**-149)
    off = np.abs(got[finite].astype(np.float64) - want[finite]) / unit
    assert off.max() <= most, f"{name}({x[finite][off.argmax()]!r}) is {off.max():.2f} units in the last place off"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_in_double_precision(made, name):
    x = np.concatenate([np.linspace(-30, 30, 10_001), [math.inf, -math.inf, math.nan, 0.0, 710, -745]])
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][0](x)
    np.testing.assert_allclose(applied(made["double"], name, torch.from_numpy(x)), want, rtol=1e-15, atol=0)
