"""Dense nets: published parameter counts, a forward pass written out, differences, dropout."""

import math

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.nets.feedforward import linear, mlp, softmax


def count(module: nn.Module) -> int:
    return Net.of(module).count()


def test_published_parameter_counts():
    assert count(nets.choose("mlp:hidden=30,activation=sigmoid").make((1, 28, 28), 10)) == 23_860
    assert count(nets.choose("mlp:hidden=50x10x50").make((100,), 100)) == 11_210
    assert count(softmax((1, 28, 28), 10)) == 7850
    assert count(mlp((784,), 10, hidden=())) == 7850


def test_linear_and_softmax_are_weighted_sums():
    for family in (linear, softmax):
        net = family((3,), 1)
        net.load_state_dict({"weight": torch.tensor([[5.0, 4, 8]]), "bias": torch.tensor([2.0])})
        assert net(torch.tensor([[34.0, 1, 4]])).tolist() == [[208.0]]


def test_mlp_is_the_formula_written_out():
    torch.manual_seed(0)
    net = mlp((2, 3), 2, hidden=(4, 3), activation="sigmoid", output="tanh")
    x = torch.randn(5, 2, 3)
    weights = [p.tolist() for p in net.parameters()]

    def layer(values, weight, bias, unit):
        return [unit(sum(w * v for w, v in zip(row, values, strict=True)) + b) for row, b in zip(weight, bias, strict=True)]

    def sigmoid(a):
        return 1 / (1 + math.exp(-a))

    by_hand = []
    for values in x.flatten(1).tolist():
        for weight, bias, unit in zip(weights[::2], weights[1::2], (sigmoid, sigmoid, math.tanh), strict=True):
            values = layer(values, weight, bias, unit)
        by_hand.append(values)
    torch.testing.assert_close(net(x), torch.tensor(by_hand))


@pytest.mark.parametrize("unit", ["tanh", "sigmoid", "softplus", "elu"])
def test_gradients_are_those_of_differences(unit):
    torch.manual_seed(0)
    net = mlp((3,), 2, hidden=(4, 4), activation=unit, output=unit).double()
    names, params = zip(*net.named_parameters(), strict=True)
    x = torch.randn(5, 3, dtype=torch.double)

    def f(*values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(f, params)


def test_dropout_leaves_out_its_share_in_training_and_nothing_after():
    torch.manual_seed(0)
    net = mlp((1,), 1, hidden=(10_000,), dropout=0.3)
    nn.init.ones_(net.hidden1.weight)
    nn.init.zeros_(net.hidden1.bias)
    kept = net[:-1](torch.ones(1, 1))
    assert (kept == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    assert kept.max().item() == pytest.approx(1 / 0.7)
    net.eval()
    assert (net[:-1](torch.ones(1, 1)) == 1).all()
    assert not any(isinstance(m, nn.Dropout) for m in mlp((1,), 1).modules())


@pytest.mark.parametrize(("spec", "words"), [
    ("mlp:hidden=30x0", "at least one unit in every hidden layer; got 30x0"), ("mlp:dropout=1", "mlp expects dropout"),
    ("mlp:activation=rellu", "Did you mean relu"), ("mlp:output=sofmax", "Did you mean softmax"),
])
def test_nonsense_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make((4,), 2)
