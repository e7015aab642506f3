"""The net in a report: one that branches as a graph, one that does not as a row of boxes; names are text."""

import re
from itertools import pairwise

from chainrule.report.facts import Facts
from chainrule.report.net import BOX_HIGH, drawing
from chainrule.report.page import render

LAYERS = [{"name": name, "kind": "Linear", "input": (4,), "output": (4,), "parameters": 20, "multiply_adds": 16, "times": 1}
          for name in ("a", "b", "<i>c</i>")]
GRAPH = {"nodes": [{"name": row["name"], "kind": row["kind"], "shape": (4,), "times": times}
                   for row, times in zip(LAYERS, (1, 3, 1), strict=True)],
         "edges": [(0, 1), (0, 2), (1, 2)]}


def test_a_net_that_branches_is_drawn_with_its_branches():
    net = drawing(GRAPH)
    assert [box.name for box in net.boxes] == ["a", "b × 3", "<i>c</i>"]
    assert len(net.paths) == 3
    tops = [box.y for box in net.boxes]
    assert all(below - above > BOX_HIGH for above, below in pairwise(tops))
    ends = [float(number) for path in net.paths for number in re.findall(r"(?<=[ML ])-?\d+\.\d", path)]
    assert min(ends) >= 0
    assert max(ends) <= max(net.width, net.height)
    page = render(Facts("t", layers=LAYERS, graph=GRAPH))
    assert page.count("<path d=\"M") >= 3
    assert 'class="wired"' in page
    assert '<ol class="net">' not in page
    assert "<i>c</i>" not in page
    assert "&lt;i&gt;c&lt;/i&gt;" in page


def test_a_net_that_does_not_branch_is_a_row():
    page = render(Facts("t", layers=LAYERS))
    assert '<ol class="net">' in page
    assert 'class="wired"' not in page
    assert drawing(None) is None
