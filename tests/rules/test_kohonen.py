"""Kohonen's rules by hand on three units, the batch form against sums written out, and a map that unfolds."""

import math

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.kmeans import KMeans
from chainrule.nets.som import Map
from chainrule.rules.kohonen import Kohonen, KohonenBatch


def line(*places):
    module = Map((1,), 0, rows=len(places), columns=1).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(places, dtype=torch.float64)[:, None])
    return Net.of(module)


def stepped(net, rule, rows, done=0.0, whole=10.0):
    state = rule.init(net)
    set_pace(state, {"done": done, "each": 1.0, "whole": whole})
    net, state, report = rule.step(net, state, Batch(torch.tensor(rows, dtype=torch.float64)[:, None]))
    return net.params["weight"].detach().flatten().tolist(), float(report["loss"]), state


def test_a_step_on_three_units_by_hand():
    """Units 0, 1, 4 on a line; the row 0.2 is won by the first. Rate 0.4, radius 2 at the beginning of the run."""
    units, loss, state = stepped(line(0, 1, 4), Kohonen(rate=0.4, last_rate=0.1, radius=2.0), [0.2])
    h = [1.0, math.exp(-1 / 8), math.exp(-4 / 8)]
    assert units == pytest.approx([0 + 0.4 * h[0] * 0.2, 1 + 0.4 * h[1] * (0.2 - 1), 4 + 0.4 * h[2] * (0.2 - 4)])
    assert loss == pytest.approx(0.5 * 0.2**2)
    assert float(state["pace"]["done"]) == 1


def test_rate_and_radius_shrink_geometrically_and_a_bubble_moves_all_within_it_alike():
    rule = Kohonen(rate=0.4, last_rate=0.1, radius=4.0, last_radius=0.25)
    units, _, _ = stepped(line(0, 1, 4), rule, [0.2], done=5.0)                # half the way: rate 0.2, radius 1
    h = [1.0, math.exp(-1 / 2), math.exp(-4 / 2)]
    assert units == pytest.approx([0.2 * 0.2, 1 - 0.2 * h[1] * 0.8, 4 - 0.2 * h[2] * 3.8])
    units, _, _ = stepped(line(0, 1, 4), Kohonen(rate=0.4, last_rate=0.4, radius=1.0, neighbourhood="bubble", last_radius=1.0), [0.2])
    assert units == pytest.approx([0.08, 1 - 0.4 * 0.8, 4])


def test_rows_of_a_batch_take_their_turns_one_after_the_other():
    """A batch of three rows is three batches of one, each a third of the way on."""
    rows, rule = [0.2, 3.0, -1.0], Kohonen(radius=2.0)
    together, _, _ = stepped(line(0, 1, 4), rule, rows)
    net = line(0, 1, 4)
    for i, row in enumerate(rows):
        alone, _, _ = stepped(net, rule, [row], done=i / 3)
    assert together == pytest.approx(alone)


def test_the_batch_form_is_the_weighted_mean_written_out():
    """Each unit becomes the sum over rows of h(unit, winner) row, by the sum of h."""
    torch.manual_seed(0)
    module = Map((2,), 0, rows=2, columns=3).double()
    x, before = torch.randn(20, 2, dtype=torch.float64), module.weight.detach().clone()
    net, rule = Net.of(module), KohonenBatch(radius=1.0, last_radius=0.5)
    state = rule.init(net)
    set_pace(state, {"done": 10.0, "each": 1.0, "whole": 10.0})                # at the end: radius 0.5
    rule.step(net, state, Batch(x))
    at = [(i, j) for i in range(2) for j in range(3)]
    for k, unit in enumerate(at):
        total, weight = np.zeros(2), 0.0
        for row in x.numpy():
            winner = at[int(((before.numpy() - row) ** 2).sum(1).argmin())]
            h = math.exp(-((unit[0] - winner[0]) ** 2 + (unit[1] - winner[1]) ** 2) / (2 * 0.25))
            total, weight = total + h * row, weight + h
        np.testing.assert_allclose(module.weight[k].detach().numpy(), total / weight)


@pytest.mark.parametrize("rule", ["kohonen", "kohonen-batch"])
def test_a_map_of_a_square_unfolds(rule, tmp_path, monkeypatch):
    """Neighbours on the grid are neighbours in the square, and few rows have winner and second apart."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((800, 2)).astype(np.float32)
    run = cr.train(x, net="som:rows=6,columns=6", rule=rule, init="normal:0.1", plan="eager", progress=False, split="train=.7,test=.3")
    result = run.test()
    assert result.measures["topographic_error"].value < 0.1
    assert result.measures["squared_error"].value < 0.05 * result.baseline.measures["squared_error"].value
    units = run.net.weight.detach().reshape(6, 6, 2)
    beside = (units[1:] - units[:-1]).norm(dim=2).mean()
    assert float(beside) < 0.4 * float(torch.cdist(units.flatten(0, 1), units.flatten(0, 1)).mean())
    assert {"u-matrix.png", "component-planes.png"} <= {path.name for path in run.path.iterdir()}
    assert not (run.path / "prototypes.png").exists()


def test_a_net_without_a_grid_and_a_radius_that_grows_are_refused():
    with pytest.raises(InputError, match=r"KMeans has none.*--net som"):
        Kohonen().init(Net.of(KMeans((3,), 0)))
    with pytest.raises(InputError, match=r"radius=0.1"):
        KohonenBatch(radius=0.1)
