"""What is measured of nets of prototypes, by hand and on digits."""

import torch

import chainrule as cr
from chainrule.nets.som import Map
from chainrule.plots.prototypes import u_matrix
from chainrule.tasks.prototypes import majority, neighbours


def test_neighbours_touch_at_a_side_or_a_corner():
    pairs = torch.tensor([[0, 1], [0, 3], [0, 4], [2, 3], [0, 2], [0, 8], [4, 4]])          # a grid of 3 x 3
    assert neighbours(pairs, 3).tolist() == [True, True, True, False, False, False, True]


def test_the_majority_of_each_unit():
    assert majority(torch.tensor([0, 0, 0, 2, 2]), torch.tensor([1, 1, 0, 2, 2])).tolist() == [1, 0, 2]


def test_the_map_of_distances_by_hand():
    units = torch.tensor([[0.0], [1.0], [3.0], [7.0]])                                       # rows (0, 1) and (3, 7)
    assert u_matrix(units, (2, 2)).tolist() == [[2.0, 3.5], [3.5, 5.0]]


def test_the_nearest_two_units_and_their_distances_by_force():
    torch.manual_seed(0)
    net, x = Map((3,), 0, rows=4, columns=5), torch.randn(30, 3)
    distances, order = torch.cdist(x, net.weight.detach()).sort(1)
    units, near = net.nearest(x)
    assert units.tolist() == order[:, :2].tolist()
    torch.testing.assert_close(near.detach(), distances[:, :2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(x), net.weight[order[:, 0]])
    at = order[:, 0]
    torch.testing.assert_close(net.encode(x), torch.stack([(at // 5) / 3, (at % 5) / 4], 1))
    for code, width in (("one-hot", 20), ("distances", 20)):
        other = Map((3,), 0, rows=4, columns=5, code=code)
        other.load_state_dict(net.state_dict())
        assert other.encode(x).shape == (30, width)
    assert other.encode(x).argmin(1).tolist() == at.tolist()


def test_a_map_of_digits_is_drawn_and_its_units_are_labelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("digits", net="som:rows=8,columns=8", rule="kohonen-batch", plan="eager", progress=False)
    result = run.test()
    assert result.measures["purity"].value > 0.8
    assert result.measures["topographic_error"].value < 0.35
    assert 0 < result.measures["quantisation_error"].low < result.measures["quantisation_error"].high
    assert "100.00 %" not in str(result)
    assert {"u-matrix.png", "prototypes.png"} <= {path.name for path in run.path.iterdir()}
    page = run.report().read_text()
    assert "u-matrix" in page
    assert run.net.encode(torch.rand(3, 1, 8, 8)).shape == (3, 2)
