"""Initial weights that read rows: the variances and rates they promise, measured afterwards on a plain run of the net."""

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import inits, nets
from chainrule.nets.init.initial import initialise
from chainrule.nets.init.measured import LAYERS, rates

NETS = {
    "mlp": ("mlp:hidden=30x20x10,dropout=0.3", (12,)),
    "tanh": ("mlp:hidden=30x20x10,activation=tanh", (12,)),
    "lenet": ("lenet:filters=4x6,hidden=20", (2, 12, 12)),
    "normalised": ("lenet:filters=4x6,hidden=20,norm=batch", (2, 12, 12)),
}


def started(name, init, rows=200):
    torch.manual_seed(0)
    spec, shape = NETS[name]
    net, x = nets.choose(spec).make(shape, 5), 3 * torch.randn(rows, *shape) + 1
    initialise(net, inits.choose(init), x)
    return net, x


def outputs(net, x):
    """What every layer gives before its activation, by plain hooks."""
    found = {}
    handles = [part.register_forward_hook(lambda part, _, out, name=name: found.update({name: out.detach()}))
               for name, part in net.named_modules() if isinstance(part, LAYERS)]
    net.eval()
    net(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", NETS)
def test_lsuv_gives_every_layer_unit_variance(name):
    net, x = started(name, "lsuv")
    assert all(part.training for part in net.modules())
    found = outputs(net, x)
    assert len(found) == 4
    for out in found.values():
        assert float(out.var()) == pytest.approx(1, rel=1e-4)


def test_lsuv_only_stretches_an_orthogonal_start():
    net, _ = started("mlp", "lsuv")
    w = net.hidden2.weight.detach()  # (20, 30)
    product = w @ w.T
    torch.testing.assert_close(product, product[0, 0] * torch.eye(20), rtol=0, atol=1e-5)
    assert not net.hidden2.bias.any()


@pytest.mark.parametrize("name", NETS)
def test_every_channel_has_mean_zero_and_variance_one(name):
    net, x = started(name, "data-dependent:between=no")
    for out in outputs(net, x).values():
        channels = out.transpose(0, 1).flatten(1)
        torch.testing.assert_close(channels.mean(1), torch.zeros(len(channels)), rtol=0, atol=1e-4)
        torch.testing.assert_close(channels.var(1), torch.ones(len(channels)), rtol=1e-3, atol=0)


def by_hand(net, x, mix):
    """Rates of a dense net written out: slopes of each row are outer products of what came down and what went up."""
    layers = [part for part in net if isinstance(part, nn.Linear)]
    read = []
    handles = [layer.register_forward_hook(lambda _, inputs, out: read.append((inputs[0], out))) for layer in layers]
    total = (net(x) * mix).sum()
    for handle in handles:
        handle.remove()
    slopes = torch.autograd.grad(total, [out for _, out in read])                 # each (n, units)
    squares = [(down.square().T @ up.square()) / len(x) for down, (up, _) in zip(slopes, read, strict=True)]
    return torch.stack([s.sqrt().mean() / layer.weight.norm() for s, layer in zip(squares, layers, strict=True)])


def test_rates_are_the_outer_products_written_out():
    net, x = started("tanh", "he")
    net.double()
    x, mix = x[:16].double(), torch.randn(16, 5, dtype=torch.double)
    layers = [part for part in net if isinstance(part, nn.Linear)]
    torch.testing.assert_close(rates(net, layers, x, mix), by_hand(net, x, mix))


@pytest.mark.parametrize("name", ["mlp", "tanh", "lenet"])
def test_all_layers_change_at_one_rate(name):
    """Measured with other mixtures of the outputs than were levelled on; before, the rates are far apart."""
    spread = {}
    for init in ("data-dependent:between=no", "data-dependent"):
        net, x = started(name, init)
        net.eval()
        layers = [part for part in net.modules() if isinstance(part, LAYERS)]
        torch.manual_seed(7)
        rate = torch.stack([rates(net, layers, x[:32], torch.randn(32, 5)) for _ in range(5)]).mean(0)
        spread[init] = float(rate.max() / rate.min())
    assert spread["data-dependent:between=no"] > 2
    assert spread["data-dependent"] < 1.3


def test_levelling_leaves_the_outputs_of_a_rectified_net():
    level, x = started("mlp", "data-dependent")
    torch.manual_seed(0)
    plain, _ = started("mlp", "data-dependent:between=no")
    level.eval(), plain.eval()
    torch.testing.assert_close(level(x), plain(x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(level.hidden1.weight, plain.hidden1.weight, rtol=0.05)


@pytest.mark.parametrize("init", ["lsuv", "data-dependent"])
def test_what_cannot_be_measured_is_refused_in_one_sentence(init):
    net, x = nets.choose("mlp:hidden=4").make((3,), 2), torch.randn(8, 3)
    with pytest.raises(InputError, match="needs at least two of them"):
        initialise(net, inits.choose(init))
    with pytest.raises(InputError, match="those of hidden1 do not differ"):
        initialise(net, inits.choose(init), torch.zeros(8, 3))
    with pytest.raises(InputError, match=r"on training rows of shape \(5,\)"):
        initialise(net, inits.choose(init), torch.randn(8, 5))
    with pytest.raises(InputError, match="Sequential has none"):
        initialise(nn.Sequential(nn.PReLU()), inits.choose(init), x)
    assert all(not part._forward_hooks for part in net.modules())


def test_a_step_has_no_rate():
    net = nets.choose("mlp:hidden=4,activation=step").make((3,), 2)
    with pytest.raises(InputError, match="a step has no slope"):
        initialise(net, inits.choose("data-dependent"), torch.randn(50, 3))
