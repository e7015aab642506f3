"""The net of contacts: symmetric, blind to which end a pair begins with, and its first sum over pairs a convolution of joined features."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.nets.contactnet import ContactNet


def test_what_is_said_of_a_pair_is_said_of_it_in_either_order():
    torch.manual_seed(0)
    net = ContactNet((30, 20), 2, hidden=8, depth=2, pairs=6, pair_depth=3)
    scores = net(torch.randn(3, 30, 20))
    assert scores.shape == (3, 2, 30, 30)
    torch.testing.assert_close(scores, scores.mT)


def test_the_features_of_a_pair_are_a_convolution_of_one_by_one_over_those_of_its_ends_joined():
    torch.manual_seed(0)
    net = ContactNet((12, 4), 2, hidden=5, depth=1, pairs=3, pair_depth=1)
    features = torch.randn(2, 5, 12)
    joined = torch.cat([features[:, :, :, None].expand(-1, -1, -1, 12), features[:, :, None].expand(-1, -1, 12, -1)], 1)
    weight = torch.cat([net.first.weight, net.second.weight], 1)[..., None]                     # (pairs, 2 hidden, 1, 1)
    twin = torch.nn.functional.conv2d(joined, weight, net.first.bias)
    torch.testing.assert_close(net.first(features)[:, :, :, None] + net.second(features)[:, :, None], twin)


def test_pairs_beyond_the_farthest_known_separation_share_its_numbers():
    torch.manual_seed(0)
    net = ContactNet((200, 3), 2, hidden=2, depth=1, pairs=2, pair_depth=1).eval()
    assert net(torch.zeros(1, 200, 3)).isfinite().all()


def test_inputs_that_are_no_sequences_are_refused():
    with pytest.raises(InputError, match="contactnet reads sequences of rows"):
        ContactNet((7,), 2)
    with pytest.raises(InputError, match="at least 1"):
        ContactNet((7, 3), 2, pair_depth=0)
