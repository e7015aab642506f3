"""Arithmetic on trees, against the same arithmetic on one long vector; and the helper that differentiates, against differences."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from chainrule.core.net import Net
from chainrule.core.tree import add_, clone, dot, leaves, norm, scale, value_and_grad

SEEDS = st.integers(0, 10_000)


def tree(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, generator=generator, dtype=torch.float64),
            "b": {"c": torch.randn(2, 2, generator=generator, dtype=torch.float64),
                  "d": torch.randn((), generator=generator, dtype=torch.float64)}}


def flat(t):
    return torch.cat([leaf.reshape(-1) for leaf in leaves(t)])


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS, st.floats(-5, 5))
def test_trees_are_vectors(one, two, factor):
    a, b = tree(one), tree(two)
    torch.testing.assert_close(flat(scale(a, factor)), factor * flat(a))
    torch.testing.assert_close(dot(a, b), flat(a) @ flat(b))
    torch.testing.assert_close(norm(a), flat(a).norm())
    into = {"x": a["a"].clone(), "y": a["b"]["c"].clone(), "z": torch.ones(1)}
    add_(into, {"x": b["a"], "y": b["b"]["c"]}, factor)
    torch.testing.assert_close(into["x"], a["a"] + factor * b["a"])
    torch.testing.assert_close(into["y"], a["b"]["c"] + factor * b["b"]["c"])
    assert torch.equal(into["z"], torch.ones(1))


@pytest.mark.parametrize("factor", [0.3, torch.tensor(0.3, dtype=torch.float64)])
def test_adding_in_place_is_the_same_eagerly_and_for_members(factor):
    a, b = {"x": tree(1)["b"]["c"]}, {"x": tree(2)["b"]["c"]}
    expected = a["x"] + 0.3 * b["x"]
    together = {"x": a["x"].clone()}

    def step(x, y):
        into = {"x": x.clone()}
        add_(into, {"x": y}, factor)
        return into["x"]

    torch.testing.assert_close(torch.vmap(step)(a["x"], b["x"]), expected)
    add_(together, b, factor)
    torch.testing.assert_close(together["x"], expected)


def test_a_clone_shares_nothing_and_keeps_what_is_no_tensor():
    original = {"a": torch.ones(2, requires_grad=True), "n": 3, "word": "x"}
    twin = clone(original)
    twin["a"].add_(1)
    assert original["a"].tolist() == [1, 1]
    assert not twin["a"].requires_grad
    assert (twin["n"], twin["word"]) == (3, "x")


def cubic(net, x, y):
    out = net(x)
    return ((out - y) ** 3).mean() + out.square().sum(), {"largest": out.detach().max()}


def problem():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return Net.of(module), torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)


@pytest.mark.parametrize("bound", [True, False])
def test_the_gradient_is_the_slope_of_differences(bound):
    net, x, y = problem()
    net = net if bound else net.clone()
    value, aux, slope = value_and_grad(cubic, net, x, y)
    at = {k: p.detach().clone() for k, p in net.params.items()}
    assert float(value) == float(cubic(net.at(at), x, y)[0])
    assert float(aux["largest"]) == float(net(x).detach().max())
    assert not value.requires_grad
    for name, p in at.items():
        for i in range(p.numel()):
            ends = []
            for step in (1e-6, -1e-6):
                moved = p.clone()
                moved.view(-1)[i] += step
                ends.append(float(cubic(net.at({**at, name: moved}), x, y)[0]))
            assert float(slope[name].reshape(-1)[i]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_bound_and_unbound_give_the_same_bits_of_gradient():
    net, x, y = problem()
    eager, swapped = value_and_grad(cubic, net, x, y), value_and_grad(cubic, net.clone(), x, y)
    torch.testing.assert_close(eager[2], swapped[2], rtol=1e-14, atol=1e-14)


def test_what_is_frozen_or_unused_has_no_gradient_and_the_caller_s_no_grad_does_not_matter():
    net, x, _ = problem()
    net.module[0].weight.requires_grad_(False)
    net = Net.of(net.module)
    with torch.no_grad():
        _, _, slope = value_and_grad(lambda net, x: (net.module[0](x).sum(), {}), net, x)
    assert list(slope) == ["0.bias"]
    assert net.idle == net.params.keys() - {"0.bias"}
    assert slope["0.bias"].tolist() == [5.0] * 4
    assert [p.grad for p in net.module.parameters()] == [None] * 4


def test_batch_norm_under_members_and_gradient():
    """The net must come as an argument: closed over, its buffers would be written outside of the transformation."""
    torch.manual_seed(0)
    nets = [Net.of(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=True)).double()) for _ in range(2)]
    x = torch.randn(6, 3, dtype=torch.double)

    def loss(net, x):
        return net(x).pow(3).sum(), {}

    stack = Net.stack(nets)
    value, _, slope = torch.vmap(lambda net, x: value_and_grad(loss, net, x), in_dims=(0, None))(stack, x)
    for i, net in enumerate(nets):
        alone = value_and_grad(loss, net, x)
        near = partial(torch.testing.assert_close, rtol=1e-11, atol=1e-12)
        near(value[i], alone[0])
        near({k: g[i] for k, g in slope.items()}, alone[2])
        near(stack.buffers["1.running_mean"][i], net.buffers["1.running_mean"])
