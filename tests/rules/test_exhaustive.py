"""Search: the grid against an enumeration, the best of all tried, and where there would be too many points."""

import itertools

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.core.tree import clone
from chainrule.rules.exhaustive import Search

SQUARED = losses.choose("squared").make()


def data() -> Batch:
    torch.manual_seed(0)
    x = torch.randn(20, 2, dtype=torch.double)
    return Batch(x, x @ torch.tensor([[1.2], [-0.8]], dtype=torch.double) + 0.5)


def fresh() -> Net:
    module = nn.Linear(2, 1, dtype=torch.double)
    with torch.no_grad():
        module.weight.fill_(50.0)
    return Net.of(module)


def searched(net: Net, batch: Batch, steps: int, **options) -> tuple[Net, dict, list[float]]:
    rule = Search(loss=SQUARED, **options)
    state, told = clone(rule.init(net)), []
    for _ in range(steps):
        net, state, report = rule.step(net, state, batch)
        told.append(float(report["loss"]))
    return net, state, told


def test_the_grid_finds_the_best_of_all_its_points():
    batch = data()
    net, state, told = searched(fresh(), batch, 4, way="grid", box=2.0, points=9, tries=200)  # 800 tries of 729 points
    axis = [-2 + 0.5 * i for i in range(9)]
    heights = {p: float((batch.x @ torch.tensor([p[:2]], dtype=torch.double).T + p[2] - batch.y).square().mean()) / 2
               for p in itertools.product(axis, axis, axis)}
    best = min(heights, key=heights.__getitem__)
    assert [*net.params["weight"][0].tolist(), *net.params["bias"].tolist()] == list(best)
    assert told[-1] == pytest.approx(heights[best])
    assert int(state["tried"]) == 800


def test_no_point_of_the_grid_is_left_out_or_tried_twice():
    rule = Search(loss=SQUARED, way="grid", box=1.0, points=3, tries=5)
    example = torch.zeros(1)
    tried = torch.cat([rule._grid(torch.tensor(5 * i), 2, example) for i in range(2)])
    assert {tuple(p) for p in tried[:9].tolist()} == set(itertools.product((-1.0, 0.0, 1.0), repeat=2))
    assert torch.equal(tried[9], tried[8])  # past the end


@pytest.mark.parametrize("way", ["grid", "random"])
def test_what_is_kept_never_gets_worse_and_the_loss_is_of_it(way):
    torch.manual_seed(1)
    batch = data()
    net, _, told = searched(fresh(), batch, 30, way=way, tries=64)
    assert all(b <= a for a, b in itertools.pairwise(told))
    assert told[-1] == pytest.approx(float(0.5 * (net(batch.x) - batch.y).square().mean()))
    assert told[-1] < told[0]


def test_random_tries_fill_the_box_and_come_near_the_best():
    torch.manual_seed(0)
    net, _, told = searched(fresh(), data(), 40, way="random", box=2.0, tries=512)
    assert told[-1] < 0.02
    torch.testing.assert_close(net.params["weight"].detach(), torch.tensor([[1.2, -0.8]], dtype=torch.double), atol=0.2, rtol=0)


def test_classes_and_nets_of_several_layers_are_searched_too():
    torch.manual_seed(0)
    corners = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    net = Net.of(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))
    rule = Search(loss=losses.choose("cross-entropy").make(), box=5.0, tries=2000)
    state = rule.init(net)
    for _ in range(5):
        net, state, _ = rule.step(net, state, Batch(corners, torch.tensor([0, 1, 1, 0])))
    assert (net(corners).argmax(1) == torch.tensor([0, 1, 1, 0])).all()


def test_what_was_given_is_kept_where_nothing_better_is_found():
    batch = data()
    module = nn.Linear(2, 1, dtype=torch.double)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.2, -0.8]]))
        module.bias.fill_(0.5)
    net, _, told = searched(Net.of(module), batch, 3, tries=100)
    assert told[-1] < 1e-12
    torch.testing.assert_close(net.params["weight"].detach(), torch.tensor([[1.2, -0.8]], dtype=torch.double))


def test_what_would_take_too_long_is_refused():
    with pytest.raises(InputError, match=r"A grid of 11 values for each of 11 weights has 285,311,670,611 points; search takes at most"):
        Search(loss=SQUARED, way="grid").init(Net.of(nn.Linear(10, 1)))
    with pytest.raises(InputError, match=r"has about 10\^105 points"):
        Search(loss=SQUARED, way="grid").init(Net.of(nn.Linear(100, 1)))
    with pytest.raises(InputError, match="box above 0, at least 2 points"):
        Search(loss=SQUARED, box=0)
