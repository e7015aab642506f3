"""Initial weights: moments, the published decay of activations with depth, and what is left alone."""

import math

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import inits, nets
from chainrule.nets.feedforward import mlp
from chainrule.nets.init.initial import followers, initialise
from chainrule.nets.layers.activation import make_activation

FAN_IN, FAN_OUT = 600, 400
# variance of a Gaussian cut at c: 1 - 2 c phi(c) / (2 Phi(c) - 1)
CUT_AT_1, CUT_AT_2 = (math.sqrt(1 - 2 * c * math.exp(-c * c / 2) / math.sqrt(2 * math.pi) / math.erf(c / 2**0.5)) for c in (1, 2))
SPREADS = {
    "zeros": 0.0,
    "uniform": 0.4 / 12**0.5,
    "uniform:0.5": 1 / 12**0.5,
    "normal": 0.01,
    "normal:1": 1.0,
    "truncated-normal": 0.01 * CUT_AT_2,
    "truncated-normal:1,cut=1": CUT_AT_1,
    "truncated-normal:0": 0.0,
    "lecun": FAN_IN**-0.5,
    "xavier": (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    "xavier:normal": (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    "he": (2 / FAN_IN) ** 0.5,
    "table": (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    "orthogonal": FAN_IN**-0.5,
    "orthogonal:2": 2 * FAN_IN**-0.5,
    "random-walk": math.exp(0.5 / FAN_IN) * FAN_IN**-0.5,
    "random-walk:1.5": 1.5 * FAN_IN**-0.5,
}
READING = {"lsuv", "data-dependent", "spread", "rows", "plane"}  # see test_measured.py and test_prototypes.py
RECURRENT = {"echo-state"}            # see test_gates.py


@pytest.mark.parametrize("spec", SPREADS)
def test_mean_and_spread(spec):
    torch.manual_seed(0)
    layer = nn.Linear(FAN_IN, FAN_OUT).requires_grad_(False)
    initialise(layer, inits.choose(spec))
    sd = SPREADS[spec]
    assert abs(layer.weight.mean()) <= 5 * sd / 490  # 490 = sqrt(600 * 400)
    assert float(layer.weight.std()) == pytest.approx(sd, rel=0.01)
    assert not layer.bias.any()


def test_every_init_has_its_spread_tested():
    assert {spec.split(":")[0] for spec in SPREADS} | READING | RECURRENT == set(inits.names())


@pytest.mark.parametrize("spec", ["uniform", "xavier"])
def test_even_ones_stay_within_their_bounds_and_reach_them(spec):
    torch.manual_seed(0)
    layer = nn.Linear(FAN_IN, FAN_OUT).requires_grad_(False)
    initialise(layer, inits.choose(spec))
    assert float(layer.weight.abs().max()) == pytest.approx(SPREADS[spec] * 3**0.5, rel=1e-3)


@pytest.mark.parametrize(("spec", "variance"), [("lecun", 1 / 75), ("he", 2 / 75), ("xavier", 2 / (75 + 40 * 25))])
def test_the_fans_of_a_convolution_count_its_kernel(spec, variance):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 40, 5).requires_grad_(False)
    initialise(layer, inits.choose(spec))
    assert float(layer.weight.var()) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize(("spec", "sd"), [("lecun:biases=1", 1.0), ("normal:sd=1,biases=0.5", 0.5)])
def test_biases_may_be_drawn_as_well(spec, sd):
    torch.manual_seed(0)
    layer = nn.Linear(2, 20_000).requires_grad_(False)
    initialise(layer, inits.choose(spec))
    assert float(layer.bias.std()) == pytest.approx(sd, rel=0.03)


def deep(spec: str, unit: str) -> list[float]:
    """The spread of the activations of ten layers of 500 units on 1000 Gaussian rows (the lecture's experiment), the mean of five nets."""
    return torch.tensor([one_deep(spec, unit, seed) for seed in range(5)]).mean(0).tolist()


def one_deep(spec: str, unit: str, seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = mlp((500,), 10, hidden=(500,) * 10, activation=unit)
    initialise(net, inits.choose(spec))
    spreads, x = [], torch.randn(1000, 500)
    with torch.no_grad():
        for name, layer in net.named_children():
            x = layer(x)
            if name.startswith(unit):
                spreads.append(float(x.std()))
    assert len(spreads) == 10
    return spreads


def test_published_spreads_through_ten_tanh_layers():
    small = deep("normal:0.01", "tanh")
    assert small[:4] == pytest.approx([0.213, 0.0476, 0.0106, 0.0024], rel=0.03)
    assert small[9] == pytest.approx(0.213 * (0.01 * 500**0.5) ** 9, rel=0.15)  # tanh is straight there: sqrt(500) * 0.01 a layer
    assert deep("normal:1", "tanh") == pytest.approx([0.98] * 10, rel=0.01)
    xavier = deep("xavier", "tanh")
    assert xavier[:3] == pytest.approx([0.628, 0.486, 0.408], rel=0.03)
    assert xavier[9] == pytest.approx(0.228, rel=0.15)


def test_published_spreads_through_ten_rectified_layers():
    xavier = deep("xavier", "relu")
    assert xavier[:3] == pytest.approx([0.58, 0.42, 0.29], rel=0.03)
    assert xavier[9] == pytest.approx(0.025, rel=0.15)
    assert all(0.80 * 0.85 < spread < 0.88 * 1.15 for spread in deep("he", "relu"))
    assert all(0.80 * 0.97 < spread < 0.88 * 1.03 for spread in deep("he", "relu")[:3])


def test_gains_of_a_normalisation_are_left_alone():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    nn.init.constant_(net[1].weight, 0.7)
    initialise(net, inits.choose("zeros"))
    assert not net[0].weight.any()
    assert not net[0].bias.any()
    assert (net[1].weight == 0.7).all()


def test_one_seed_one_start():
    nets = [mlp((5,), 2) for _ in range(3)]
    for net, seed in zip(nets, (1, 1, 2)):
        torch.manual_seed(seed)
        initialise(net, inits.choose("he"))
    first, again, other = (nn.utils.parameters_to_vector(net.parameters()) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("unit", "variance"), [
    ("tanh", 2 / 1000), ("sigmoid", 32 / 1000), ("relu", 2 / 600), ("leaky", 2 / (1 + 0.01**2) / 600), ("selu", 1 / 600),
    ("scaled-tanh", 1 / 600), ("gelu", 2 / 600), ("maxout", 2 / 600), ("identity", 2 / 1000),
])
def test_the_table_goes_by_the_activation_of_each_layer(unit, variance):
    """Also behind a normalisation; the output layer, which has no activation, is xavier's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(600, 400), nn.BatchNorm1d(400), make_activation(unit), nn.Dropout(0.1), nn.Linear(400, 600))
    initialise(net.requires_grad_(False), inits.choose("table"))
    assert float(net[0].weight.var()) == pytest.approx(variance, rel=0.02)
    assert float(net[4].weight.var()) == pytest.approx(2 / 1000, rel=0.02)


def test_followers_name_the_activation_that_reads_each_layer():
    net = nets.choose("lenet:activation=tanh,norm=batch").make((1, 28, 28), 10)
    read_by = {name: type(unit) for name, unit in followers(net).items()}
    assert read_by == {"features.conv1.weight": nn.Tanh, "features.conv2.weight": nn.Tanh, "hidden.weight": nn.Tanh,
                       "output.weight": type(None)}


@pytest.mark.parametrize(("layer", "gain"), [(nn.Linear(30, 20), 1.0), (nn.Linear(20, 30), 1.5), (nn.Conv2d(3, 10, 5), 2.0)])
def test_orthogonal_rows_are_at_right_angles_and_of_the_length_of_the_gain(layer, gain):
    torch.manual_seed(0)
    layer.double()
    initialise(layer, inits.choose(f"orthogonal:{gain}"))
    w = layer.weight.detach().flatten(1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    torch.testing.assert_close(product, gain**2 * torch.eye(len(product), dtype=torch.double), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("unit", "units", "within"), [("identity", 20, 0.01), ("tanh", 20, 0.01), ("relu", 60, 0.02)])
def test_a_random_walk_neither_rises_nor_falls_on_average(unit, units, within):
    """Second derivation: the mean over many nets of log(|slope below|^2 / |slope above|^2); rectified units cut half of the slope.

    Without the correction it would be about -1/20 for 20 linear units and -5/2/60 for 60 rectified ones.
    """
    torch.manual_seed(0)
    net, logs = nn.Sequential(nn.Linear(units, units), make_activation(unit)), []
    for _ in range(4000):
        initialise(net, inits.choose("random-walk"))
        above = torch.randn(units)
        passed = above * (torch.rand(units) < 0.5) if unit == "relu" else above
        below = net[0].weight.detach().T @ passed
        logs.append(float((below.square().sum() / above.square().sum()).log()))
    assert abs(sum(logs) / len(logs)) < within


@pytest.mark.parametrize("spec", ["normal:sd=-1", "uniform:bound=nan", "lecun:biases=-2", "orthogonal:-1", "random-walk:-1"])
def test_nonsense_is_refused(spec):
    with pytest.raises(InputError, match=r"at least 0|to be a number; got 'nan'"):
        inits.choose(spec).make()


def test_a_truncated_normal_has_nothing_beyond_its_cut():
    torch.manual_seed(0)
    layer = nn.Linear(FAN_IN, FAN_OUT).requires_grad_(False)
    initialise(layer, inits.choose("truncated-normal:0.02,cut=1.5"))
    assert 0.029 < float(layer.weight.abs().max()) <= 0.03
    with pytest.raises(InputError, match="cut, in standard deviations"):
        inits.choose("truncated-normal:cut=0").make()
