"""Weights of several gates are filled gate by gate, torch's own layers' too; echoes have the spectral radius that is asked for."""

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import inits
from chainrule.nets.gru import GRU
from chainrule.nets.init.initial import initialise, is_bias, recurrent_weights
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import Elman

D, H = 50, 80
NETS = {"lstm": (lambda: LSTM((9, D), 3, hidden=H), 4), "gru": (lambda: GRU((9, D), 3, hidden=H), 3),
        "rnn": (lambda: Elman((9, D), 3, hidden=H), 1), "nn.LSTM": (lambda: nn.LSTM(D, H), 4), "nn.GRU": (lambda: nn.GRU(D, H), 3),
        "nn.RNN": (lambda: nn.RNN(D, H), 1), "nn.LSTMCell": (lambda: nn.LSTMCell(D, H), 4)}


def filled(name, spec):
    torch.manual_seed(0)
    make, gates = NETS[name]
    module = make()
    initialise(module, inits.choose(spec))
    weights = recurrent_weights(module)
    parameters = dict(module.named_parameters())
    return module, {weight.recurs: parameters[key].detach() for key, weight in weights.items()}, gates


@pytest.mark.parametrize("name", NETS)
def test_every_gate_is_a_rotation_of_its_own(name):
    _, weights, gates = filled(name, "orthogonal")
    assert weights[True].shape == (gates * H, H)
    for block in weights[True].reshape(gates, H, H):
        torch.testing.assert_close(block @ block.T, torch.eye(H), atol=1e-5, rtol=0)
    for block in weights[False].reshape(gates, H, D):                   # more rows than columns: the columns are at right angles
        torch.testing.assert_close(block.T @ block, torch.eye(D), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETS)
def test_fans_are_those_of_one_gate(name):
    _, weights, _ = filled(name, "xavier:normal")
    assert float(weights[True].std()) == pytest.approx((2 / (H + H)) ** 0.5, rel=0.03)
    assert float(weights[False].std()) == pytest.approx((2 / (D + H)) ** 0.5, rel=0.03)


@pytest.mark.parametrize("name", NETS)
def test_biases_of_recurrent_layers_are_biases(name):
    module, _, _ = filled(name, "xavier")
    biases = {key: p.detach() for key, p in module.named_parameters() if is_bias(key)}
    assert len(biases) == (3 if name == "gru" else 2)
    keeps = biases.pop("layers.0.reads.bias") if name == "lstm" else torch.zeros(4 * H)
    assert not any(bias.any() for bias in biases.values())
    assert torch.equal(keeps.reshape(4, H)[1], torch.full((H,), float(name == "lstm")))
    assert not keeps.reshape(4, H)[[0, 2, 3]].any()
    drawn = dict(filled(name, "normal:sd=1,biases=0.5")[0].named_parameters())
    assert all(drawn[key].any() for key in biases)


def test_the_start_of_a_sequence_is_no_weight():
    module, _, _ = filled("lstm", "normal:1")
    assert not module.layers[0].start_hidden.any()
    assert not module.layers[0].start_cell.any()


@pytest.mark.parametrize("radius", [0.9, 1.3])
@pytest.mark.parametrize("name", ["rnn", "lstm", "nn.RNN"])
def test_echoes_are_sparse_and_have_their_radius(name, radius):
    module, weights, gates = filled(name, f"echo-state:radius={radius},connections=15,inputs=0.5")
    for block in weights[True].reshape(gates, H, H):
        assert float(torch.linalg.eigvals(block).abs().max()) == pytest.approx(radius, rel=1e-4)
        assert (block != 0).sum(1).tolist() == [15] * H
    assert float(weights[False].std()) == pytest.approx(0.5 * D**-0.5, rel=0.05)
    if name == "rnn":
        assert float(module.output.weight.detach().std()) == pytest.approx(H**-0.5, rel=0.1)
    assert (filled(name, "echo-state:connections=1000")[1][True] != 0).all()


def test_echoes_are_refused_where_nothing_recurs():
    with pytest.raises(InputError, match=r"echo-state sets the weights by which a layer reads itself, and Linear has none. Use --net rnn"):
        initialise(nn.Linear(3, 2), inits.choose("echo-state"))
    with pytest.raises(InputError, match="at least 1 other; got connections=0"):
        inits.choose("echo-state:connections=0").make()
