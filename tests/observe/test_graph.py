"""The computational graph beside autograd, and the chain rule as a sum over paths that are enumerated."""

import itertools
import math

import pytest
import torch
from torch import nn

from chainrule.core.errors import InputError
from chainrule.observe.graph import Edge, Graph, Node, Unreadable, along, of_net
from chainrule.optim.solvers.formula import read_named
from chainrule.workflows.graph import figures, graph_of, lines, values_of


def graph(text, at):
    formula = read_named(text)
    return graph_of(formula, values_of(formula, at))


def test_the_lecture_s_example_is_6_2_and_5():
    drawn = graph("e = (a + b) * (b + 1)", "a=2,b=1")
    assert [(node.name, node.value) for node in drawn.nodes] == [("a", 2), ("b", 1), ("a + b", 3), ("b + 1", 2),
                                                                 ("e = (a + b) * (b + 1)", 6)]
    assert drawn.derivatives == [2, 5, 2, 3, 1]
    assert [(edge.tail, edge.head, edge.factor) for edge in drawn.edges] == [(0, 2, 1), (1, 2, 1), (1, 3, 1), (2, 4, 2), (3, 4, 3)]
    assert [along(path) for path in drawn.paths(1)] == [2, 3]
    assert "by b: 5, the sum over 2 paths" in lines(figures(drawn))


def test_names_that_a_text_gives_stand_in_its_graph():
    drawn = graph("c = a + b; d = b + 1; e = c * d", "a=2,b=1")
    assert [node.name for node in drawn.nodes[2:]] == ["c = a + b", "d = b + 1", "e = c * d"]
    assert drawn.derivatives[:2] == [2, 5]


@pytest.mark.parametrize(("text", "at"), [
    ("x^2 + 3x y - sin(x) / y", {"x": 1.3, "y": 0.4}), ("exp(-(x - y)^2 / 2)", {"x": 0.2, "y": 1.1}), ("x x x", {"x": 2.0}),
    ("2^x - log(x)", {"x": 1.7}), ("tanh(w1 x + b) w2", {"w1": 0.5, "x": -2.0, "b": 0.1, "w2": 3.0})])
def test_derivatives_are_autograd_s_and_the_sums_over_all_paths(text, at):
    drawn = graph(text, ",".join(f"{name}={value}" for name, value in at.items()))
    formula = read_named(text)
    x = torch.tensor([at[name] for name in formula.names], dtype=torch.float64, requires_grad=True)
    value = formula(x)
    (slopes,) = torch.autograd.grad(value, x)
    assert drawn.nodes[-1].value == pytest.approx(float(value.detach()), rel=1e-12)
    for i, slope in enumerate(slopes.tolist()):
        assert drawn.derivatives[i] == pytest.approx(slope, rel=1e-12)
        assert sum(map(along, drawn.paths(i))) == pytest.approx(slope, rel=1e-12)
        assert drawn.ways[i] == len(list(drawn.paths(i)))


def test_numbers_and_what_is_equal_are_not_drawn_twice():
    drawn = graph("(x + 1) (x + 1) + 2 * 3", "x=2")
    assert [node.name for node in drawn.nodes] == ["x", "x + 1", "(x + 1) * (x + 1)", "(x + 1) * (x + 1) + 2 * 3"]
    assert drawn.edges[1] == Edge(1, 2, 6.0)                    # both factors of the square in one edge
    assert drawn.nodes[-1].value == 15


def test_paths_are_every_chain_of_edges():
    several = Graph(tuple(Node(str(i), 0.0, i) for i in range(5)),
                    tuple(Edge(i, j, 10.0 * i + j) for i, j in itertools.combinations(range(5), 2)))
    chains = [list(itertools.pairwise([0, *inner, 4])) for size in range(4) for inner in itertools.combinations((1, 2, 3), size)]
    walked = [[(edge.tail, edge.head) for edge in path] for path in several.paths(0)]
    assert sorted(walked) == sorted(chains)
    assert several.derivatives[0] == pytest.approx(sum(math.prod(10.0 * i + j for i, j in chain) for chain in chains))


def test_a_net_s_weights_have_autograd_s_derivatives():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    x, y = torch.randn(1, 3, dtype=torch.float64), torch.tensor([1])
    loss = nn.CrossEntropyLoss(reduction="none")
    drawn = of_net(net, x, lambda outputs: loss(outputs, y), ("p", "q", "r"), ("no", "yes"), "loss")
    assert [node.name for node in drawn.nodes] == [
        "p", "q", "r", "1 1", "1 2", "1 3", "1 4", "2 1", "2 2", "2 3", "2 4", "no", "yes", "loss"]
    net.eval()
    nn.functional.cross_entropy(net(x), y).backward()
    for layer in ("1", "4"):
        own = net.get_submodule(layer).weight.grad
        for edge in drawn.edges:
            if edge.weight.startswith(f"{layer}.weight"):
                i, j = map(int, edge.weight.partition("[")[2].rstrip("]").split(","))
                assert drawn.nodes[edge.tail].value * drawn.derivatives[edge.head] == pytest.approx(float(own[i, j]), rel=1e-9, abs=1e-15)


def test_a_net_too_large_to_read_is_told_with_its_size():
    with pytest.raises(Unreadable, match="there are 111 numbers for one row, and at most 60"):
        of_net(nn.Linear(100, 10), torch.randn(1, 100), lambda outputs: outputs.sum(1), (), (), "sum")


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.outer(x + self.inner(x))


def test_layers_that_do_not_follow_one_another_are_told():
    with pytest.raises(Unreadable, match="layer outer reads something else"):
        of_net(Shortcut(), torch.randn(1, 3), lambda outputs: outputs.sum(1), (), (), "sum")


@pytest.mark.parametrize(("at", "words"), [(None, "gives a and b no value"), ("a=1", "gives b no value"),
                                           ("a=1,b=x", "expects b to be a number"),
                                           ("a=1,b=nan", "expects b to be a number"), ("a=1,b=1e999", "expects b to be a number"),
                                           ("a=" + "1" * 600, "at most 600 characters"), ("a=1,c=2", "no variable 'c'")])
def test_values_that_are_missing_or_wrong_are_said(at, words):
    with pytest.raises(InputError, match=words):
        graph("e = (a + b) * (b + 1)", at)


@pytest.mark.parametrize("text", ["a = b + 1; a = 2b", "a = a + 1", "a + 1; a = 3 a", "exp = a + 1"])
def test_a_name_stands_for_one_thing(text):
    with pytest.raises(InputError, match="gives the name"):
        read_named(text)


HALVES = "; ".join(f"x{i + 1} = x{i} x{i}" for i in range(40))


def test_what_is_doubled_over_and_over_takes_no_longer():
    """2^40 paths: every term is met once, in reading, in hashing and in what is a number alone."""
    drawn = graph(HALVES + "; y = x40", "x0=1")
    assert (len(drawn.nodes), drawn.derivatives[0]) == (41, 2.0**40)
    assert drawn.nodes[1].name == "x1 = x0 * x0"
    numbers = graph(HALVES.replace("x0 x0", "1 * 1") + "; y = x40 z", "z=3")
    assert [node.name for node in numbers.nodes] == ["z", "y = x40 * z"]
    assert numbers.derivatives == [1.0, 1.0]


@pytest.mark.parametrize("text", ["(" * 300 + "a", "-" * 500 + "a", "+" * 500 + "a", "^".join(["a"] * 200), "exp(" * 100 + "a" + ")" * 100,
                                  "2(" * 150 + "a" + ")" * 150])
def test_what_nests_too_deep_is_a_sentence(text):
    with pytest.raises(InputError, match=r"nests at most 50 deep"):
        read_named(text)


def test_what_is_too_long_is_a_sentence_and_the_longest_is_drawn_or_told():
    with pytest.raises(InputError, match="at most 600 characters; this one has 601"):
        read_named("a+" * 300 + "a")
    with pytest.raises(InputError, match="at most 60 nodes"):
        graph("a+" * 299 + "a", "a=1")


def test_paths_that_end_before_the_result_are_not_walked():
    """Ten ranks of two nodes that lead nowhere, and one edge to the result."""
    nodes = tuple(Node(str(i), 0.0, i) for i in range(42))
    blind = [Edge(1 + 2 * i + a, 3 + 2 * i + b, 1.0) for i in range(18) for a in (0, 1) for b in (0, 1)]
    drawn = Graph(nodes, (Edge(0, 1, 1.0), Edge(0, 2, 1.0), *blind, Edge(0, 41, 5.0)))
    assert [along(path) for path in drawn.paths(0)] == [5.0]
    assert drawn.ways[0] == 1
