"""Activations against their formulas written out, and against differences; the flattening linear layer."""

import math

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.nets.blocks import ACTIVATIONS, Dense, activation

FORMULAS = {
    "step": lambda x: 1.0 if x >= 0 else 0.0,
    "sign": lambda x: 1.0 if x >= 0 else -1.0,
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "scaled-tanh": lambda x: 1.7159 * math.tanh(2 * x / 3),
    "relu": lambda x: max(x, 0.0),
    "leaky": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
}
POINTS = [-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.5]


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_the_formulas(name):
    ours = activation(name)(torch.tensor(POINTS, dtype=torch.double))
    assert ours.tolist() == pytest.approx([FORMULAS[name](x) for x in POINTS], abs=1e-12)


def test_softmax_divides_exponentials_by_their_sum_and_every_activation_is_covered():
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, math.log(2)]], dtype=torch.double)
    whole = math.e + math.e**2 + math.e**3
    expected = [[math.e / whole, math.e**2 / whole, math.e**3 / whole], [0.25, 0.25, 0.5]]
    torch.testing.assert_close(activation("softmax")(scores), torch.tensor(expected, dtype=torch.double))
    assert set(ACTIVATIONS) == set(FORMULAS) | {"softmax"}


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"step", "sign"}))
def test_slopes_are_those_of_differences(name):
    torch.manual_seed(0)
    x = torch.randn(4, 5, dtype=torch.double)
    x = (x + 0.1 * x.sign()).requires_grad_()  # away from the corners of relu
    assert torch.autograd.gradcheck(activation(name), x)


def test_the_scaled_tanh_keeps_one():
    x = torch.tensor([-1.0, 1.0], dtype=torch.double)
    torch.testing.assert_close(activation("scaled-tanh")(x), x, rtol=1e-4, atol=0)


def test_a_misspelt_activation_is_offered_the_nearest():
    with pytest.raises(InputError, match=r"no activation called 'sigmiod'. Did you mean sigmoid"):
        activation("sigmiod")


def test_dense_reads_inputs_of_any_shape():
    layer, x = Dense((2, 3, 4), 5), torch.randn(7, 2, 3, 4)
    by_hand = torch.einsum("nchw,ochw->no", x, layer.weight.reshape(5, 2, 3, 4)) + layer.bias
    torch.testing.assert_close(layer(x), by_hand)
