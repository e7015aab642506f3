"""Which layer reads which, of nets whose branches are known; sizes beside autograd; folding beside the table of layers."""

import pytest
import torch
from torch import nn

from chainrule.core.registry import nets
from chainrule.observe.layer_table import collapsed
from chainrule.observe.layers import layers
from chainrule.observe.wiring import folded, joined, wiring, within


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(x + self.b(self.act(self.a(x))))


def residual(blocks):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(*(Block() for _ in range(blocks))), nn.Linear(4, 2))


def named(graph):
    names = [node.name for node in graph.nodes]
    return names, {(names[tail], names[head]) for tail, head in graph.edges}


def made(spec, shape=(3, 32, 32)):
    torch.manual_seed(0)
    return nets.choose(spec).make(shape, 10), torch.randn(1, *shape)


def test_a_shortcut_is_an_edge_around_what_it_passes():
    names, edges = named(wiring(residual(1), torch.randn(2, 3)))
    assert names == ["input", "0", "1.0.a", "1.0.act", "1.0.b", "1.0.add", "1.0.act 2", "2"]
    assert edges == {("input", "0"), ("0", "1.0.a"), ("1.0.a", "1.0.act"), ("1.0.act", "1.0.b"), ("0", "1.0.add"), ("1.0.b", "1.0.add"),
                     ("1.0.add", "1.0.act 2"), ("1.0.act 2", "2")}


def test_what_follows_a_layer_joins_it_and_equal_blocks_are_one():
    graph = joined(wiring(residual(3), torch.randn(2, 3)))
    names, edges = named(graph)
    assert names == ["input", "0", *(f"1.{i}.{part}" for i in range(3) for part in ("a", "b", "add")), "2"]
    assert [node.kind for node in graph.nodes[2:5]] == ["Linear + ReLU", "Linear", "add + ReLU"]
    assert {("0", "1.0.a"), ("0", "1.0.add"), ("1.0.add", "1.1.a"), ("1.0.add", "1.1.add")} <= edges
    assert graph.paths == 2**3
    names, edges = named(folded(graph))
    assert names == ["input", "0", "1.0-2.a", "1.0-2.b", "1.0-2.add", "2"]
    assert edges == {("input", "0"), ("0", "1.0-2.a"), ("0", "1.0-2.add"), ("1.0-2.a", "1.0-2.b"), ("1.0-2.b", "1.0-2.add"),
                     ("1.0-2.add", "2")}
    assert [node.times for node in folded(graph).nodes] == [1, 1, 3, 3, 3, 1]


def test_sizes_are_autograd_s_for_each_of_equal_blocks():
    net, x = residual(3), torch.randn(1, 3)
    graph = folded(joined(wiring(net, x, lambda outputs: outputs.square().sum(1))))
    seen = []
    for block in net[1]:
        block.b.register_forward_hook(lambda part, inputs, output: seen.append(output))
        block.act.inplace = False
    loss = net(x).square().sum()
    slopes = torch.autograd.grad(loss, seen)
    node = next(node for node in graph.nodes if node.name == "1.0-2.b")
    assert node.values == pytest.approx([float(t.detach().square().mean().sqrt()) for t in seen], rel=1e-5)
    assert node.derivatives == pytest.approx([float(t.square().mean().sqrt()) for t in slopes], rel=1e-5)
    assert graph.nodes[-1].derivatives == (1.0,)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(("spec", "paths"), [
    ("resnet:depth=20", 2**9), ("resnet:depth=20,form=v2", 2**9), ("plain:depth=8", 1), ("lenet", 1), ("densenet:depth=10,growth=4", 2**6)])
def test_published_nets_have_as_many_paths_as_their_branches_give(spec, paths):
    """Two around each residual block (Veit, Wilber & Belongie 2016); a dense block of n layers has 2^n, of which one passes none."""
    net, x = made(spec)
    graph = joined(wiring(net, x, lambda outputs: outputs.sum(1)))
    assert graph.paths == paths
    assert graph.branches == (paths > 1)


def test_the_branches_of_an_inception_block_read_the_same_and_are_joined():
    net, x = made("googlenet")
    graph = joined(wiring(net, x))
    names = [node.name for node in graph.nodes]
    joins = [i for i, node in enumerate(graph.nodes) if node.kind.startswith("cat")]
    assert joins
    assert {len(graph.sources[i]) for i in joins} == {4}
    assert any(len(graph.readers[i]) >= 4 for i in joins), names


@pytest.mark.parametrize("spec", ["resnet:depth=56", "resnet:depth=110"])
def test_as_many_stand_for_one_as_in_the_table_of_layers(spec):
    net, x = made(spec)
    graph = folded(joined(wiring(net, x)))
    table = {row.layer.name: row.times for row in collapsed(layers(net, tuple(x.shape[1:]))) if row.times > 2}
    folds = {node.name: node.times for node in graph.nodes}
    assert table
    assert max(folds.values()) == max(table.values()) * 2            # two convolutions alike in each block
    assert sum(node.parameters * node.times for node in graph.nodes) == sum(p.numel() for p in net.parameters())
    assert len(graph.nodes) <= 60


@pytest.mark.parametrize("spec", ["googlenet", "inception-v3"])
def test_what_is_still_too_large_is_drawn_by_blocks(spec):
    net, x = made(spec, (3, 64, 64))
    whole = folded(joined(wiring(net, x)))
    graph = within(whole, 60)
    assert len(whole.nodes) > 60 >= len(graph.nodes)
    assert sum(node.parameters * node.times for node in graph.nodes) == sum(node.parameters * node.times for node in whole.nodes)
    assert {head for _, head in graph.edges} == set(range(1, len(graph.nodes)))          # nothing is cut off
    assert any(node.kind.endswith(" layers") for node in graph.nodes)


class Steps(nn.Module):
    """A cell that is called again for each step."""

    def __init__(self):
        super().__init__()
        self.inward, self.again, self.act, self.out = nn.Linear(2, 4), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)

    def forward(self, x):
        h = self.act(self.inward(x[:, 0]))
        for t in range(1, x.shape[1]):
            h = self.act(self.inward(x[:, t]) + self.again(h))
        return self.out(h)


def test_a_sequence_has_no_more_nodes_than_its_cell():
    short, long = (wiring(Steps(), torch.randn(1, steps, 2), lambda outputs: outputs.sum(1)) for steps in (3, 40))
    assert named(short) == named(long)
    assert len(long.nodes) <= 8


def test_symbols_and_nets_that_write_into_what_they_read_are_followed():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 1)

        def forward(self, x):
            x[:, 0] = 0.0
            return self.out(x)

    assert named(wiring(Writes(), torch.randn(2, 3)))[1] == {("input", "out")}
    words = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    assert named(wiring(words, torch.tensor([[1, 2]])))[1] == {("input", "0"), ("0", "1"), ("1", "2")}
