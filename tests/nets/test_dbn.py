"""Deep belief nets on units few enough to count: scores of classes, the bound that a layer added cannot lower, samples of a class."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.nets.dbn import DeepBelief


def states(units):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def drawn(shape, outputs, **options):
    torch.manual_seed(0)
    net = DeepBelief(shape, outputs, **options).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    return net


def joint(top, v):
    """exp(-energy) of visible states (n, visible) with every hidden state, (n, 2^hidden), written out."""
    h = states(len(top.hidden_bias))
    return (v @ top.weight.T @ h.T + (v @ top.visible_bias)[:, None] + h @ top.hidden_bias).exp()


def test_the_scores_of_classes_are_the_memorys_log_posterior_by_enumeration():
    net = drawn((4,), 3, hidden=(3, 5))
    x = torch.rand(6, 4, dtype=torch.float64)
    below = torch.sigmoid(x @ net.layers[0].weight.T + net.layers[0].hidden_bias)
    masses = [joint(net.top, torch.cat([below, torch.eye(3).double()[k].expand(6, -1)], 1)).sum(1) for k in range(3)]
    posterior = torch.stack(masses, 1) / torch.stack(masses, 1).sum(1, keepdim=True)
    torch.testing.assert_close(net(x).softmax(1), posterior)
    v = torch.cat([below, torch.eye(3).double()[1].expand(6, -1)], 1)
    torch.testing.assert_close(net.top.free_energy(v), -masses[1].log())


def test_without_classes_what_goes_up_comes_down_again():
    net, x = drawn((2, 3), 6, hidden=(4, 3), labels=False), torch.rand(5, 2, 3, dtype=torch.float64)
    below = torch.sigmoid(x.flatten(1) @ net.layers[0].weight.T + net.layers[0].hidden_bias)
    high = torch.sigmoid(below @ net.top.weight.T + net.top.hidden_bias)
    again = torch.sigmoid(high @ net.top.weight + net.top.visible_bias)
    torch.testing.assert_close(net(x), torch.sigmoid(again @ net.generative[0] + net.layers[0].visible_bias))
    torch.testing.assert_close(net.encode(x), high)


def bound(net, data):
    """The variational bound (n,) on the log likelihood of rows (n, 3), by every state of the layer below the memory."""
    h = states(2)
    q = torch.sigmoid(data @ net.layers[0].weight.T + net.layers[0].hidden_bias)                         # (n, 2)
    log_q = (h[None] * q[:, None].log() + (1 - h[None]) * (1 - q[:, None]).log()).sum(2)                 # (n, 4)
    given = torch.stack([-net.generative_cost([data, row.expand(len(data), -1)]) for row in h], 1)       # (n, 4)
    return (log_q.exp() * (given + log_prior(net, h) - log_q)).sum(1)


def log_prior(net, h):
    """The log probability (n,) of states of the layer below the memory."""
    return -net.top.free_energy(h) + net.top.free_energy(states(2)).neg().logsumexp(0).neg()


def test_a_layer_added_with_tied_weights_never_lowers_the_bound():
    """Hinton et al. (2006), section 4: as long as the memory's own likelihood of what the layer below makes of the data does not fall."""
    net = drawn((3,), 3, hidden=(2, 3), labels=False)
    first, data = net.layers[0], states(3)[[1, 3, 3, 6, 7]]
    with torch.no_grad():
        net.top.weight.copy_(first.weight.T)
        net.top.visible_bias.copy_(first.hidden_bias)
        net.top.hidden_bias.copy_(first.visible_bias)
        net.after_stages()
    machine = joint(first, states(3)).sum()
    likelihood = (joint(first, data).sum(1) / machine).log()
    torch.testing.assert_close(bound(net, data), likelihood)                                             # tied: the bound is tight
    q = torch.sigmoid(data @ first.weight.T + first.hidden_bias).detach()
    h = states(2)
    share = torch.stack([(row * q + (1 - row) * (1 - q)).prod(1) for row in h], 1).mean(0)               # (4,) how often each state is read
    before = bound(net, data).mean()
    for _ in range(20):
        cost = -(share * log_prior(net, h)).sum()
        slopes = torch.autograd.grad(cost, list(net.top.parameters()))
        with torch.no_grad():
            for p, slope in zip(net.top.parameters(), slopes, strict=True):
                p -= 0.05 * slope
        after = bound(net, data).mean()
        assert after >= before - 1e-12
        before = after
    given = torch.stack([-net.generative_cost([data, one.expand(len(data), -1)]) for one in h], 1)
    true = (given + log_prior(net, h)).logsumexp(1)
    assert bool((bound(net, data) <= true + 1e-9).all())
    assert before > likelihood.mean() + 1e-3


def test_samples_of_a_class_have_the_means_of_enumeration():
    """3 - 2 - 3 with two classes: the memory's posterior with a class on, then one pass down."""
    net = drawn((3,), 2, hidden=(2, 3))
    torch.manual_seed(1)
    rows = net.sample_given(torch.ones(20_000, dtype=torch.long), steps=25)
    h = states(2)
    mass = joint(net.top, torch.cat([h, torch.tensor([0.0, 1.0]).double().expand(4, -1)], 1)).sum(1)
    means = torch.sigmoid(h @ net.generative[0] + net.layers[0].visible_bias)
    exact = (mass / mass.sum()) @ means
    assert float((rows.mean(0) - exact).abs().max()) < 0.02
    assert net.sample(7, steps=2).shape == (7, 3)


def test_the_label_that_is_given_stays_on():
    net, seen = drawn((3,), 4, hidden=(2, 3)), []
    net.top.gibbs = lambda v: (seen.append(v[:, -4:].clone()), torch.rand_like(v))[1]
    net.sample_given(torch.tensor([2, 0]), steps=3)
    assert all(torch.equal(labels, F.one_hot(torch.tensor([2, 0]), 4).double()) for labels in seen)
    assert len(seen) == 3


def test_the_weights_that_generate_part_from_those_that_recognise_after_the_stages():
    net = drawn((6,), 3, hidden=(4, 5, 2))
    net.after_stages()
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(net.layers, net.generative, strict=True))
    assert net.layers[0].weight.data_ptr() != net.generative[0].data_ptr()


@pytest.mark.parametrize(("outputs", "options"), [(3, {"hidden": ()}), (3, {"hidden": (3, 0)}), (1, {"hidden": (3,)})])
def test_what_is_no_such_net_is_refused(outputs, options):
    with pytest.raises(InputError, match=r"dbn"):
        DeepBelief((4,), outputs, **options)
