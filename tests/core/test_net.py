"""The net: a module with its tensors outside, called with its own or with others."""

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from chainrule.core.errors import InputError, PlanRejected
from chainrule.core.net import Net


class Two(nn.Module):
    """(n, 3) -> (n, 2), with another method and a buffer; one layer is used twice, and one weight lies in two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.tied, self.second = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.again = self.first
        self.tied.weight = self.first.weight
        self.register_buffer("shift", torch.tensor([1.0, 2.0]))

    def forward(self, x):
        return self.second(self.tied(self.again(self.first(x)))) + self.shift

    def energy(self, x, scale):
        return scale * self.first(x).square().sum(1)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net.of(Two())


X = torch.linspace(-1, 1, 12).reshape(4, 3)


def test_a_bound_net_is_its_module(net):
    assert net.bound
    assert torch.equal(net(X), net.module(X))
    assert all(net.params[name] is p for name, p in net.module.named_parameters())
    with torch.no_grad():
        net.params["second.bias"].add_(1)
    assert torch.equal(net(X), net.module(X))


def test_a_weight_used_twice_is_one_parameter(net):
    assert sorted(net.params) == ["first.bias", "first.weight", "second.bias", "second.weight", "tied.bias"]
    assert net.count() == 3 * 3 + 3 + 3 + 3 * 2 + 2
    assert set(net.tensors) == {*net.params, "shift"}


def test_at_other_parameters_it_computes_with_those_and_leaves_its_own(net):
    """Second derivation: the same arithmetic written out."""
    other = {k: p.detach() + 0.5 for k, p in net.params.items()}
    before = net(X)
    hidden = X @ other["first.weight"].T + other["first.bias"]
    hidden = hidden @ other["first.weight"].T + other["first.bias"]
    hidden = hidden @ other["first.weight"].T + other["tied.bias"]
    torch.testing.assert_close(net.at(other)(X), hidden @ other["second.weight"].T + other["second.bias"] + torch.tensor([1.0, 2.0]))
    assert torch.equal(net(X), before)


def test_other_methods_can_be_called_too_bound_or_not(net):
    other = {k: p.detach() * 2 for k, p in net.params.items()}
    by_hand = 3 * (X @ other["first.weight"].T + other["first.bias"]).square().sum(1)
    torch.testing.assert_close(net.at(other).call("energy", X, 3), by_hand)
    assert torch.equal(net.call("energy", X, 3), net.module.energy(X, 3))


def test_a_clone_is_free_of_the_original(net):
    twin, before = net.clone(), net(X)
    for t in twin.tensors.values():
        t.add_(1)
    assert torch.equal(net(X), before)
    assert not torch.equal(twin(X), before)
    assert not any(t.requires_grad for t in twin.params.values())


def test_load_copies_in_place(net):
    twin = net.clone()
    for t in twin.tensors.values():
        t.add_(1)
    mine = dict(net.params)
    net.load(twin)
    assert torch.equal(net.module(X), twin(X))
    assert all(net.params[k] is p for k, p in mine.items())
    assert net.params["first.weight"].requires_grad


def test_a_stack_holds_its_members(net):
    twin = net.clone()
    for t in twin.tensors.values():
        t.mul_(2)
    stack = Net.stack([net, twin, net])
    assert stack.params["first.weight"].shape == (3, 3, 3)
    assert torch.equal(stack.member(1)(X), twin(X))
    assert torch.equal(stack.member(2)(X), net(X))
    stack.member(1).params["second.bias"].fill_(9)
    assert bool((stack.params["second.bias"][1] == 9).all()), "a member is a view, not a copy"


def test_as_a_tree_its_leaves_are_its_tensors(net):
    leaves, spec = pytree.tree_flatten(net)
    assert len(leaves) == len(net.tensors)
    again = pytree.tree_unflatten([2 * t.detach() for t in leaves], spec)
    assert not again.bound
    assert torch.equal(again.params["first.weight"], 2 * net.params["first.weight"])
    assert again.module is net.module


def test_under_vmap_members_compute_what_they_compute_alone(net):
    twin = net.clone()
    for t in twin.tensors.values():
        t.add_(0.1)
    both = torch.vmap(lambda one, x: one(x), in_dims=(0, None))(Net.stack([net, twin]), X)
    torch.testing.assert_close(both[0], net(X))
    torch.testing.assert_close(both[1], twin(X))


def test_a_net_without_tensors_has_a_device():
    assert Net.of(nn.Identity()).device == torch.device("cpu")


class Running(nn.Module):
    """A mean put in place of the one before, one that is not there at first, and one that two layers share."""

    def __init__(self):
        super().__init__()
        self.line, self.other = nn.Linear(3, 3), nn.Module()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("late", None)
        self.register_buffer("shared", torch.zeros(3))
        self.other.register_buffer("shared", self.shared)

    def forward(self, x):
        self.mean = 0.5 * self.mean + x.mean(0)
        self.late = x.sum(0)
        return self.line(x - self.mean)


def test_what_a_pass_puts_in_place_of_a_buffer_is_the_nets():
    net = Net.of(Running())
    first = net.buffers["mean"]
    net(X)
    net.settle()
    assert net.buffers["mean"] is first is net.module.mean
    torch.testing.assert_close(first, X.mean(0))
    assert torch.equal(net.buffers["late"], X.sum(0))
    net(2 * X)
    net.settle()
    torch.testing.assert_close(net.tensors["mean"], 2.5 * X.mean(0))
    assert torch.equal(net.tensors["late"], 2 * X.sum(0))


def test_one_of_two_places_that_shared_a_buffer_may_have_its_own():
    net = Net.of(Running())
    assert "other.shared" not in net.buffers
    net.module.shared = torch.ones(3)
    net.settle()
    assert net.buffers["shared"].tolist() == [1, 1, 1]
    assert net.buffers["other.shared"].tolist() == [0, 0, 0]


def test_a_net_on_tensors_from_outside_says_that_it_would_lose_a_buffer():
    with pytest.raises(PlanRejected, match="in place of mean"):
        Net.of(Running()).clone()(X)


def test_numbers_are_put_into_buffers_of_another_shape_too():
    net = Net.of(Running())
    net.put({"late": torch.ones(5), "mean": torch.full((3,), 2.0)})
    assert net.module.late.tolist() == [1] * 5
    assert net.module.mean.tolist() == [2] * 3
    with pytest.raises(InputError, match=r"has no place for lost, late.more, which.*register_buffer\('lost', None\)"):
        net.put({"mean": torch.ones(3), "lost": torch.ones(1), "late.more": torch.ones(1)})
    assert net.module.mean.tolist() == [2] * 3, "nothing is taken of what does not fit"
