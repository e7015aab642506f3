"""Copies of modules: their own weights, whatever else they hold."""

import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from chainrule.core.duplicate import duplicate


class Holder(nn.Module):
    def __init__(self, thing):
        super().__init__()
        self.line, self.thing = nn.Linear(3, 2), thing

    def forward(self, x):
        return self.line(x)


def test_a_result_inside_a_graph_is_numbers_in_the_copy():
    net = Holder(None)
    net.thing = [net(torch.ones(1, 3)), {"again": net.line.weight * 2}]
    twin = duplicate(net)
    assert torch.equal(twin.thing[0], net.thing[0])
    assert twin.thing[0].grad_fn is None
    assert net.thing[0].grad_fn is not None
    twin.thing[1]["again"].zero_()
    assert net.thing[1]["again"].abs().sum() > 0


def test_what_has_no_copy_serves_both_and_its_neighbours_do_not(tmp_path: Path):
    with (tmp_path / "log").open("w") as file:
        net = Holder({"lock": threading.Lock(), "file": file, "counts": [1, 2]})
        twin = duplicate(net)
        assert twin.thing["lock"] is net.thing["lock"]
        assert twin.thing["file"] is file
        twin.thing["counts"].append(3)
        assert net.thing["counts"] == [1, 2]
        assert twin.line.weight is not net.line.weight
        assert torch.equal(twin.line.weight, net.line.weight)


def test_tied_weights_stay_tied_and_a_memo_is_obeyed():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert (twin := duplicate(net))[0].weight is twin[1].weight
    other = nn.Parameter(torch.zeros(3, 3))
    assert duplicate(net, {id(net[0].weight): other})[1].weight is other


@pytest.mark.filterwarnings("ignore")
def test_layers_without_a_shape_yet_are_copied_apart():
    net = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    twin = duplicate(net)
    twin(torch.randn(5, 3))
    assert twin[1].running_mean.shape == (4,)
    net(torch.randn(5, 2))
    assert net[0].weight.shape == (4, 2)
