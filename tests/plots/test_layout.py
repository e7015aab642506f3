"""Where nodes of a graph stand: each below what it reads, none upon another, and no line through a node that it passes."""

import itertools

import pytest

from chainrule.plots.layer_graph import corners
from chainrule.plots.layout import layout

RESIDUAL = [(0, 1), (1, 2), (2, 3), (1, 3), (3, 4), (4, 5), (3, 5)]
DENSE = list(itertools.combinations(range(7), 2))
INCEPTION = [(0, 1), (0, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (1, 8), (3, 8), (6, 8), (7, 8)]


@pytest.mark.parametrize("edges", [RESIDUAL, DENSE, INCEPTION, [(0, 1), (1, 2)]], ids=["residual", "dense", "inception", "plain"])
def test_nodes_stand_below_what_they_read_and_lines_pass_beside_nodes(edges):
    count = 1 + max(head for _, head in edges)
    placed = layout(count, edges)
    for tail, head in edges:
        assert placed.places[tail][1] < placed.places[head][1]
    for (x, y), (u, v) in itertools.combinations(placed.places, 2):
        assert y != v or abs(x - u) >= 1 - 1e-6
    for (tail, head), line in zip(edges, placed.lines, strict=True):
        assert (line[0], line[-1]) == (placed.places[tail], placed.places[head])
        lane = {x for x, _ in line[1:-1]}
        for x, y in placed.places:
            if line[0][1] < y < line[-1][1]:
                assert all(abs(x - one) >= 0.5 for one in lane)
                assert lane, "a line through the middle of a node"
    assert min(x for x, _ in placed.places) >= 0


def test_lines_of_one_node_share_a_lane_and_those_of_others_do_not():
    placed = layout(7, DENSE)
    lanes = {}
    for (tail, head), line in zip(DENSE, placed.lines, strict=True):
        if head - tail > 1:
            lanes.setdefault(tail, set()).add(line[1][0])
    assert all(len(one) == 1 for one in lanes.values())
    assert len({min(one) for one in lanes.values()}) == len(lanes)             # all of them are open at once


def test_a_plain_net_is_one_column():
    assert layout(4, [(0, 1), (1, 2), (2, 3)]).places == ((0, 0), (0, 1), (0, 2), (0, 3))


def test_a_line_begins_below_its_tail_and_ends_above_its_head():
    points, codes = corners(((0.0, 0.0), (0.6, 0.5), (0.6, 1.5), (0.0, 2.0)), 0.3)
    assert (points[0], points[-1], len(points)) == ((0.0, 0.3), (0.0, 1.7), len(codes))
