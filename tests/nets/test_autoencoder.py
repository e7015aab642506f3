"""Autoencoders: what their further costs are, by other ways; winners, spoilt inputs, tied weights, pictures of any size."""

import math

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.autoencoder import Autoencoder, divergence_of_shares, winners
from chainrule.nets.layers.corruption import Corruption


def made(shape=(6,), **options):
    torch.manual_seed(0)
    net = Autoencoder(shape, math.prod(shape), **options)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return net.double()


@pytest.mark.parametrize("options", [
    {"hidden": (), "code": 3}, {"hidden": (), "code": 3, "units": "identity"}, {"hidden": (4,), "code": 3},
    {"hidden": (4,), "code": 3, "units": "identity"}, {"hidden": (9, 5), "code": 2, "activation": "tanh"},
    {"hidden": (4, 5), "code": 8, "activation": "softplus", "units": "relu", "tied": True}], ids=str)
def test_the_contraction_is_the_squared_norm_of_the_jacobian_that_autograd_gives(options):
    net, x = made(contractive=0.5, **options), torch.randn(5, 6, dtype=torch.float64)
    slow = torch.stack([torch.autograd.functional.jacobian(lambda row: net.encode(row[None])[0], row).square().sum() for row in x])
    torch.testing.assert_close(net.contraction(x), slow)
    _, costs = net.train().with_costs(x)
    torch.testing.assert_close(costs["contraction"], 0.5 * slow)


def test_the_contraction_has_the_slope_that_differences_say():
    net, x = made(contractive=1.0, hidden=(4,), code=3), torch.randn(5, 6, dtype=torch.float64)
    weight = net.encoder[0].weight
    slope, = torch.autograd.grad(net.contraction(x).sum(), weight)
    way = torch.randn_like(weight)
    with torch.no_grad():
        weight += 1e-6 * way
        above = net.contraction(x).sum()
        weight -= 2e-6 * way
        below = net.contraction(x).sum()
    torch.testing.assert_close((above - below) / 2e-6, (slope * way).sum(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_the_cost_of_sparsity_is_the_divergence_of_bernoulli_shares(rho):
    net, x = made(sparse="kl", rho=rho, penalty=3.0, code=4), torch.randn(7, 6, dtype=torch.float64)
    outputs, costs = net.train().with_costs(x)
    on = net.encode(x).mean(0)
    wanted = torch.distributions.Bernoulli(torch.full_like(on, rho))
    exact = torch.distributions.kl_divergence(wanted, torch.distributions.Bernoulli(on)).sum()
    torch.testing.assert_close(costs["sparsity"], (3 * exact).expand(7))
    torch.testing.assert_close(outputs, net(x))
    assert divergence_of_shares(rho, torch.tensor([rho])).abs().max() < 1e-6


def test_the_l1_cost_is_the_sum_of_the_codes_sizes():
    net, x = made(sparse="l1", penalty=0.2, units="tanh"), torch.randn(7, 6, dtype=torch.float64)
    torch.testing.assert_close(net.with_costs(x)[1]["sparsity"], 0.2 * net.encode(x).norm(1, dim=1))


@pytest.mark.parametrize(("rows", "share", "winning"), [(20, 0.25, 5), (20, 0.01, 1), (7, 0.3, 2)])
def test_each_unit_is_on_for_exactly_its_share_of_a_batch_and_for_those_that_drive_it_most(rows, share, winning):
    code = torch.rand(rows, 6) + 0.1
    on = winners(code, share)
    assert ((on > 0).sum(0) == winning).all()
    torch.testing.assert_close(on.sort(0).values[-winning:], code.sort(0).values[-winning:])
    net, x = made(sparse="winner", rho=share, code=6, units="sigmoid"), torch.randn(rows, 6, dtype=torch.float64)
    seen = []
    net.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.train()(x)
    net.eval()(x)
    assert ((seen[0] != 0).sum(0) == winning).all()
    torch.testing.assert_close(seen[1], net.encode(x))


def test_losers_have_no_slope():
    net, x = made(sparse="winner", rho=0.2, code=4, units="sigmoid").train(), torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    code = net.encode(x).detach().requires_grad_()
    slope, = torch.autograd.grad(winners(code, 0.2).square().sum(), code)
    assert ((slope != 0).sum(0) == 2).all()


def test_tied_weights_are_one_tensor_whose_slope_is_the_sum_of_both_uses():
    """An untied twin with the same numbers has the two slopes apart."""
    tied, x = made(hidden=(4,), code=3, tied=True), torch.randn(5, 6, dtype=torch.float64)
    free = Autoencoder((6,), 6, hidden=(4,), code=3).double()
    with torch.no_grad():
        for i in (0, 2):
            free.encoder[i].load_state_dict(tied.encoder[i].state_dict())
            free.decoder[2 - i].weight.copy_(tied.encoder[i].weight.T)
            free.decoder[i].bias.copy_(tied.decoder[i].bias)
    torch.testing.assert_close(tied(x), free(x))
    tied(x).square().sum().backward()
    free(x).square().sum().backward()
    for i in (0, 2):
        torch.testing.assert_close(tied.encoder[i].weight.grad, free.encoder[i].weight.grad + free.decoder[2 - i].weight.grad.T)
    assert sum(p.numel() for p in tied.parameters()) == 6 * 4 + 4 * 3 + 4 + 3 + 4 + 6
    net = Net.of(tied)
    torch.testing.assert_close(net.clone()(x), tied(x))
    torch.testing.assert_close(Net(tied, {k: 2 * v for k, v in net.params.items()}, net.buffers)(x), _doubled(tied, x))


def _doubled(net, x):
    other = Autoencoder((6,), 6, hidden=(4,), code=3, tied=True).double()
    other.load_state_dict({k: 2 * v for k, v in net.state_dict().items()})
    return other(x)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 25), (2, 7, 9), (1, 1, 5)], ids=str)
def test_a_convolutional_one_gives_pictures_of_any_size_back(shape, tied):
    net = Autoencoder(shape, math.prod(shape), hidden=(3, 4, 5), code=6, convolutional=True, tied=tied, activation="relu")
    x = torch.rand(2, *shape)
    assert net(x).shape == (2, math.prod(shape))
    assert net.encode(x).shape == (2, 6)
    assert sum(isinstance(m, torch.nn.ConvTranspose2d) for m in net.modules()) == 3
    one = torch.zeros(1, 6, requires_grad=True)
    slope, = torch.autograd.grad(net.decode(one).square().sum(), one)
    assert slope.isfinite().all()


def test_spoilt_inputs_are_those_of_the_paper_and_in_use_none_are():
    torch.manual_seed(0)
    x = torch.rand(200, 300) + 1
    for kind, amount in (("masking", 0.3), ("salt-and-pepper", 0.3), ("gaussian", 0.5)):
        spoil = Corruption(amount, kind)
        assert spoil.eval()(x) is x
        off = spoil.train()(x)
        changed = off != x
        if kind == "gaussian":
            assert abs(float((off - x).std()) - 0.5) < 0.01
            continue
        assert abs(float(changed.float().mean()) - 0.3) < 0.01
        ends = {0.0} if kind == "masking" else {float(x.min()), float(x.max())}
        assert set(off[changed].tolist()) <= ends
        assert len(set(off[changed].tolist())) == len(ends)
    net = made(noise=0.9, code=3)
    assert not torch.equal(net.train()(x[:4, :6].double()), net(x[:4, :6].double()))
    torch.testing.assert_close(net.eval()(x[:4, :6].double()), net.decode(net.encode(x[:4, :6].double())))


@pytest.mark.parametrize(("options", "words"), [
    ({"noise": 1.0}, "a share of at least 0 and below 1; got 1.0"), ({"noise": -1.0, "corruption": "gaussian"}, "deviation of at least 0"),
    ({"rho": 0.0}, "rho, the share of rows"), ({"sparse": "kl", "units": "relu"}, "Use units=sigmoid"),
    ({"contractive": -1.0}, "at least 0; got contractive=-1.0"),
    ({"contractive": 1.0, "activation": "maxout", "hidden": (3,)}, "of their own"),
    ({"convolutional": True}, "reads pictures .* shape \\(6,\\)"), ({"tied": True, "activation": "maxout"}, "neither tied nor turned"),
    ({"code": 0}, "at least one unit"), ({"penalty": -0.1}, "penalty to be at least 0")], ids=str)
def test_options_that_do_not_fit_are_refused_in_a_sentence(options, words):
    with pytest.raises(InputError, match=words):
        Autoencoder((6,), 6, **options)
    with pytest.raises(InputError, match="as many numbers as it reads, 6; 5 are asked for"):
        Autoencoder((6,), 5, tied=True)


def test_a_sigmoid_code_is_what_the_weights_say():
    net, x = made(code=3, units="sigmoid"), torch.randn(2, 6, dtype=torch.float64)
    torch.testing.assert_close(net.encode(x), torch.sigmoid(F.linear(x, net.encoder[0].weight, net.encoder[0].bias)))
