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


def test_direct_connections_add_a_linear_map_of_the_inputs():
    """24 + 3 more weights; with those of the hidden units at zero what is left is the linear map, and the other way round the plain net."""
    torch.manual_seed(0)
    net, plain = mlp((2, 4), 3, hidden=(5, 4), activation="tanh", direct=True), mlp((2, 4), 3, hidden=(5, 4), activation="tanh")
    assert count(net) == count(plain) + 8 * 3
    x, weight = torch.randn(6, 2, 4), net.output.weight.detach().clone()
    plain.load_state_dict({name.removeprefix("beside."): t for name, t in net.state_dict().items() if name != "output.weight"}
                          | {"output.weight": weight[:, :4]})
    torch.testing.assert_close(net(x), plain(x) + x.flatten(1) @ weight[:, 4:].T)
    dropped = mlp((8,), 1, hidden=(3,), input_dropout=0.5, direct=True).train()
    nn.init.zeros_(dropped.output.bias)
    dropped.output.weight.data[:] = torch.eye(11)[3]
    assert set(dropped(torch.ones(200, 8))[:, 0].tolist()) == {0.0, 2.0}
    with pytest.raises(InputError, match="past hidden layers; there are none"):
        mlp((2,), 1, hidden=(), direct=True)


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
    net = mlp((1,), 1, hidden=(10_000,), dropout=(0.3,))
    nn.init.ones_(net.hidden1.weight)
    nn.init.zeros_(net.hidden1.bias)
    kept = net[:-1](torch.ones(1, 1))
    assert (kept == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    assert kept.max().item() == pytest.approx(1 / 0.7)
    net.eval()
    assert (net[:-1](torch.ones(1, 1)) == 1).all()
    assert not any(isinstance(m, nn.Dropout) for m in mlp((1,), 1).modules())


def test_dropout_stands_at_the_input_and_after_each_hidden_layer():
    shares = {name: part.p for name, part in nets.choose("mlp:hidden=4x5,dropout=0.2x0.5,input_dropout=0.1").make((3,), 2).named_children()
              if isinstance(part, nn.Dropout)}
    assert shares == {"input_dropout": 0.1, "dropout1": 0.2, "dropout2": 0.5}
    everywhere = nets.choose("mlp:hidden=4x5x6,dropout=0.5").make((3,), 2)
    assert [name for name, part in everywhere.named_children() if isinstance(part, nn.Dropout)] == ["dropout1", "dropout2", "dropout3"]
    assert isinstance(nets.choose("mlp:input_dropout=0.1").make((3,), 2)[0], nn.Dropout)


def test_the_mean_net_is_the_geometric_mean_of_all_thinned_nets():
    """Baldi & Sadowski (2013): exact for one hidden layer and softmax. All 2^8 nets are enumerated, in the family's own dropout."""
    torch.manual_seed(0)
    net, x = mlp((5,), 3, hidden=(8,), activation="sigmoid", dropout=(0.5,)).double(), torch.randn(6, 5, dtype=torch.double)
    net.eval()
    net.requires_grad_(False)
    mean_net, hidden = net(x).softmax(1), net[:2](x)
    logs = []
    for number in range(2**8):
        mask = torch.tensor([number >> i & 1 for i in range(8)], dtype=torch.double)
        logs.append(net.output(hidden * mask / 0.5).log_softmax(1))
    geometric = torch.stack(logs).mean(0).exp()
    torch.testing.assert_close(mean_net, geometric / geometric.sum(1, keepdim=True), rtol=0, atol=1e-12)
    arithmetic = torch.stack(logs).exp().mean(0)
    assert float((mean_net - arithmetic).abs().max()) > 1e-3


def test_maxout_layers_are_as_wide_as_they_must_be():
    net = mlp((3,), 2, hidden=(4, 5), activation="maxout")
    assert [net.hidden1.out_features, net.hidden2.in_features, net.hidden2.out_features, net.output.in_features] == [8, 4, 10, 5]
    assert net(torch.randn(7, 3)).shape == (7, 2)


@pytest.mark.parametrize(("spec", "words"), [
    ("mlp:hidden=4x5,dropout=0.1x0.2x0.3", "one for each of 2; got 0.1x0.2x0.3"), ("mlp:input_dropout=1.5", "mlp expects dropout"),
    ("mlp:hidden=30x20,norm=group,groups=4", "got groups=4 for 30"), ("mlp:hidden=2,norm=group", "always 0"),
    ("mlp:hidden=30x0", "at least one unit in every hidden layer; got 30x0"), ("mlp:dropout=1", "mlp expects dropout"),
    ("mlp:activation=rellu", "Did you mean relu"), ("mlp:output=sofmax", "Did you mean softmax"),
])
def test_nonsense_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make((4,), 2)
