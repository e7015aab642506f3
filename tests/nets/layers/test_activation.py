"""Activations against their formulas written out, and against differences; the flattening linear layer."""

import math

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.nets.layers.activation import ACTIVATIONS, Maxout, make_activation, widening
from chainrule.nets.layers.dense import Dense

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
    "hard-tanh": lambda x: min(max(x, -1.0), 1.0),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
}
POINTS = [-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.5]


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_the_formulas(name):
    ours = make_activation(name)(torch.tensor(POINTS, dtype=torch.double))
    assert ours.tolist() == pytest.approx([FORMULAS[name](x) for x in POINTS], abs=1e-12)


def test_softmax_divides_exponentials_by_their_sum_and_every_activation_is_covered():
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, math.log(2)]], dtype=torch.double)
    whole = math.e + math.e**2 + math.e**3
    expected = [[math.e / whole, math.e**2 / whole, math.e**3 / whole], [0.25, 0.25, 0.5]]
    torch.testing.assert_close(make_activation("softmax")(scores), torch.tensor(expected, dtype=torch.double))
    assert set(ACTIVATIONS) == set(FORMULAS) | {"softmax", "maxout"}


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"step", "sign"}))
def test_slopes_are_those_of_differences(name):
    torch.manual_seed(0)
    x = torch.randn(4, 6, dtype=torch.double)
    x = torch.where((x.abs() - 1).abs() < 0.05, 0.5, x + 0.1 * x.sign()).requires_grad_()  # away from the corners of relu and hard-tanh
    assert torch.autograd.gradcheck(make_activation(name), x)


@pytest.mark.parametrize("name", ["step", "sign"])
def test_what_jumps_has_no_slope(name):
    x = torch.randn(4, 6, dtype=torch.double, requires_grad=True)
    value = make_activation(name)(x).sum() + 0 * x.sum()
    assert torch.autograd.grad(value, x)[0].abs().max() == 0


def test_selu_keeps_mean_zero_and_variance_one():
    """Second derivation: the fixed point for which Klambauer et al. (2017) chose its two numbers, by quadrature over a normal variable."""
    x = torch.linspace(-12, 12, 200_001, dtype=torch.double)
    weight = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    y = make_activation("selu")(x)
    assert float((y * weight).sum()) == pytest.approx(0, abs=1e-6)
    assert float((y * y * weight).sum()) == pytest.approx(1, abs=1e-6)


def test_maxout_is_the_greatest_of_neighbours_wherever_the_units_are():
    x = torch.tensor([[1.0, 3.0, -2.0, -5.0, 0.0, 0.5]])
    assert make_activation("maxout")(x).tolist() == [[3.0, -2.0, 0.5]]
    assert Maxout(3)(x).tolist() == [[3.0, 0.5]]
    for shape, axis in (((4, 6), 1), ((4, 5, 6), 2), ((4, 6, 3, 2), 1)):
        x = torch.randn(shape)
        pairs = [x.narrow(axis, i, 2).amax(axis) for i in range(0, 6, 2)]
        torch.testing.assert_close(Maxout()(x), torch.stack(pairs, axis), rtol=0, atol=0)


def test_maxout_of_a_sum_and_its_negative_is_the_absolute_value():
    """Goodfellow et al. (2013), figure 1: with two pieces it can be |x|, and rectify with one piece at zero."""
    layer, x = Dense((1,), 4), torch.linspace(-2, 2, 9)[:, None]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [-1.0], [1.0], [0.0]]))
        layer.bias.zero_()
    torch.testing.assert_close(Maxout()(layer(x)), torch.cat([x.abs(), x.relu()], 1))


def test_maxout_widens_the_layer_before_it_and_nothing_else_does():
    for name in ACTIVATIONS:
        units = make_activation(name)(torch.randn(3, 5 * widening(name)))
        assert units.shape == (3, 5)
    assert [name for name in ACTIVATIONS if widening(name) > 1] == ["maxout"]


def test_maxout_says_what_does_not_divide():
    with pytest.raises(InputError, match="every 2 units; got 5"):
        Maxout()(torch.randn(3, 5))
    with pytest.raises(InputError, match="at least two pieces"):
        Maxout(1)


def test_the_scaled_tanh_keeps_one():
    x = torch.tensor([-1.0, 1.0], dtype=torch.double)
    torch.testing.assert_close(make_activation("scaled-tanh")(x), x, rtol=1e-4, atol=0)


def test_a_misspelt_activation_is_offered_the_nearest():
    with pytest.raises(InputError, match=r"no activation called 'sigmiod'. Did you mean sigmoid"):
        make_activation("sigmiod")


def test_dense_reads_inputs_of_any_shape():
    layer, x = Dense((2, 3, 4), 5), torch.randn(7, 2, 3, 4)
    by_hand = torch.einsum("nchw,ochw->no", x, layer.weight.reshape(5, 2, 3, 4)) + layer.bias
    torch.testing.assert_close(layer(x), by_hand)
