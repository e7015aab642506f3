"""An ensemble's members against perceptrons of their own: answers, losses and gradients, with and without rows kept from some."""

import math

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Separate, Supervised, mean_costs, separated
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.nets.ensemble import Ensemble


def alone(net, m, x):
    """What member m says, layer by layer as written down for one perceptron."""
    first, _, last = net.layers
    b, c = first.bias.view(net_members(net), -1)[m], last.bias.view(net_members(net), -1)[m]
    return F.relu(x.flatten(1) @ first.weight[m] + b) @ last.weight[m] + c


def net_members(net):
    return net.layers[0].weight.shape[0]


def made(seed=0):
    torch.manual_seed(seed)
    net = Ensemble((2, 3), 4, members=3, hidden=(5,)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p))
    return net


def test_the_answer_is_the_mean_of_perceptrons_that_know_nothing_of_each_other():
    net, x = made(), torch.randn(7, 2, 3).double()
    each = [alone(net, m, x) for m in range(3)]
    torch.testing.assert_close(net.members(x), torch.stack(each, 1))
    torch.testing.assert_close(net(x), sum(each) / 3)


def test_members_without_hidden_units_are_linear_and_begin_at_nothing():
    net = Ensemble((3,), 2, members=4, hidden=(0,))
    assert net(torch.randn(5, 3)).count_nonzero() == 0
    assert [tuple(p.shape) for p in net.parameters()] == [(4, 3, 2), (8,)]


@pytest.mark.parametrize("weighted", [False, True])
def test_each_member_descends_its_own_loss_over_its_own_rows(weighted):
    """The gradient against lone perceptrons by autograd: each sums its rows' losses, and all share one number of pairs."""
    net, x, y = made(), torch.randn(7, 2, 3).double(), torch.arange(7) % 4
    mask = torch.rand(7, 3, generator=torch.Generator().manual_seed(1)) < 0.6
    weight = torch.rand(7).double() if weighted else None
    batch = Batch(x, y, weight, mask)
    total, _ = mean_costs(Separate(losses.choose("cross-entropy").make())(Net.of(net), batch), batch)
    ours = torch.autograd.grad(total, list(net.parameters()))
    by_hand = sum((F.cross_entropy(alone(net, m, x), y, reduction="none") * (1 if weight is None else weight))[mask[:, m]].sum()
                  for m in range(3)) / mask.sum()
    torch.testing.assert_close(total, by_hand)
    for a, b in zip(ours, torch.autograd.grad(by_hand, list(net.parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_layers_below_maxout_are_wider():
    net = Ensemble((3,), 1, members=2, hidden=(5, 4), activation="maxout")
    assert net(torch.randn(6, 3)).shape == (6, 1)


def test_only_an_ensemble_is_trained_by_its_members():
    supervised = Supervised(losses.choose("squared").make())
    assert isinstance(separated(supervised, made()), Separate)
    assert separated(supervised, torch.nn.Linear(2, 1)) is supervised
    assert separated(None, made()) is None


def test_waves_are_cosines_of_each_input_beside_it_and_clip_bounds_what_is_read():
    net = Ensemble((3,), 2, members=2, hidden=(4,), waves=2, clip=1.5).double()
    x = torch.tensor([[0.3, -200.0, 4.0]]).double()
    bent = [v / (1 + (v / 1.5) ** 2) ** 0.5 for v in x[0].tolist()]
    assert bent[1] == pytest.approx(-1.5, abs=1e-3)
    waves, first, _, last = net.layers
    for m in range(2):
        read = bent + [math.cos(2 * math.pi * waves.frequency[m, i, k].item() * bent[i] + waves.phase[m, i, k].item())
                       for i in range(3) for k in range(2)]
        hidden = (torch.tensor(read).double() @ first.weight[m]).clamp(min=0)
        torch.testing.assert_close(net.members(x)[0, m], hidden @ last.weight[m])


@pytest.mark.parametrize("wrong", [{"members": 0}, {"hidden": (4, 0)}, {"dropout": 1.0}, {"waves": -1}, {"clip": -1.0}])
def test_what_is_no_ensemble_is_refused(wrong):
    with pytest.raises(InputError, match="ensemble expects"):
        Ensemble((3,), 2, **wrong)
