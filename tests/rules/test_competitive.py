"""Competitive learning against MacQueen's sequential mean written out, and what becomes of units that win nothing."""

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.kmeans import KMeans
from chainrule.rules.competitive import Competitive


def units_at(start):
    module = KMeans((start.shape[1],), 0, clusters=len(start)).double()
    with torch.no_grad():
        module.weight.copy_(start)
    return Net.of(module)


@pytest.mark.parametrize("size", [1, 8])
def test_units_are_the_running_means_of_the_rows_they_have_won(size):
    torch.manual_seed(0)
    x, start = torch.randn(64, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    net, rule = units_at(start), Competitive(revive=0)
    state = rule.init(net)
    own, won = start.clone(), [0] * 4
    for rows in x.split(size):
        winners = torch.cdist(rows, own).argmin(1).tolist()          # by the units before the batch
        for row, k in zip(rows, winners, strict=True):
            won[k] += 1
            own[k] += (row - own[k]) / won[k]
        net, state, _ = rule.step(net, state, Batch(rows))
    torch.testing.assert_close(net.params["weight"].detach(), own)


def test_with_a_rate_the_winner_goes_that_share_of_the_way_and_ever_less():
    net, rule = units_at(torch.tensor([[0.0], [10.0]], dtype=torch.float64)), Competitive(rate=0.5, revive=0)
    state = rule.init(net)
    set_pace(state, {"done": 1.0, "each": 1.0, "whole": 4.0})
    net, state, report = rule.step(net, state, Batch(torch.tensor([[1.0], [3.0]], dtype=torch.float64)))
    torch.testing.assert_close(net.params["weight"].detach().flatten(), torch.tensor([0.5 * 0.75 * 2.0, 10.0], dtype=torch.float64))
    assert float(report["loss"]) == pytest.approx(0.5 * (1 + 9) / 2)


def test_a_unit_that_wins_nothing_is_told_and_goes_where_rows_are_far_from_theirs():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(100, 2), torch.randn(100, 2) + 20]).double()
    start = torch.tensor([[10.0, 10.0], [500.0, 500.0]], dtype=torch.float64)
    for revive, dead in ((0.0, True), (0.05, False)):
        net, rule = units_at(start), Competitive(revive=revive)
        state, revived = rule.init(net), 0
        for _ in range(20):
            net, state, report = rule.step(net, state, Batch(x[torch.randperm(200)]))
            revived += int(report["revived"])
        assert (len(net.module.nearest(x)[0][:, 0].unique()) == 1) is dead
        assert (revived == 0) is dead


def test_options_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"rate=2"):
        Competitive(rate=2.0)
