"""Texts written on: symbols drawn by the shares that they should have, every sequence as often as the net's own product says."""

import itertools

import pytest
import torch
from torch import nn

from chainrule.core.net import Net
from chainrule.core.sampling import Request
from chainrule.data.encode.vocabulary import one_hot
from chainrule.nets.rnn import Elman
from chainrule.tasks.continuation import BURN_IN, continued, drawn

SHARES = torch.tensor([[0.5, 0.3, 0.15, 0.05]])


class Runner:
    """Runs a net on one-hot symbols."""

    def __init__(self, module, symbols=4):
        self.net, self.device, self.symbols = Net.of(module.eval()), torch.device("cpu"), symbols

    def ready(self, x):
        return one_hot(x, self.symbols)


def answer(outputs):
    return outputs.softmax(-1)


def near(counts, shares, n):
    """Whether frequencies are the shares, within five standard deviations of a binomial."""
    return bool(((counts / n - shares).abs() <= 5 * (shares * (1 - shares) / n).sqrt() + 5 / n).all())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_raises_shares_to_its_inverse(temperature):
    torch.manual_seed(0)
    n = 40_000
    counts = torch.bincount(drawn(SHARES.expand(n, -1), temperature), minlength=4)
    expected = SHARES[0].double() ** (1 / temperature)
    assert near(counts, expected / expected.sum(), n)


def test_of_the_likeliest_alone_the_shares_are_those_among_them():
    torch.manual_seed(0)
    n = 40_000
    counts = torch.bincount(drawn(SHARES.expand(n, -1), top_k=2), minlength=4)
    assert near(counts, torch.tensor([0.625, 0.375, 0.0, 0.0]).double(), n)
    assert torch.bincount(drawn(SHARES.expand(n, -1), top_k=9), minlength=4)[3] > 0
    without = torch.bincount(drawn(SHARES.expand(n, -1), never=0), minlength=4)
    assert near(without, torch.tensor([0.0, 0.6, 0.3, 0.1]).double(), n)
    assert bool((drawn(SHARES.expand(n, -1), top_k=1) == 0).all())


def test_every_sequence_comes_as_often_as_the_product_of_its_shares_says():
    """All 64 continuations of three symbols, each run through the whole net at once."""
    torch.manual_seed(1)
    module = Elman((3, 4), 4, hidden=5)
    with torch.no_grad():
        module.layers[0].recurs.weight.mul_(3)
        module.output.weight.mul_(2)
    beginning, n = torch.tensor([2, 0, 1]), 60_000
    every = torch.tensor(list(itertools.product(range(4), repeat=3)))                    # (64, 3)
    whole = torch.cat([beginning.expand(64, -1), every], 1)
    with torch.no_grad():
        shares = module(one_hot(whole, 4)).double().softmax(-1)[:, 2:5]                  # of each symbol given all before it
    expected = shares.gather(2, every[..., None]).prod(1)[:, 0]
    assert float(expected.max()) > 5 * float(expected.min()), "a net that says something"
    codes = continued(Runner(module), answer, beginning, Request(n), 3)
    counts = torch.bincount(codes @ torch.tensor([16, 4, 1]), minlength=64)
    assert near(counts, expected, n)


def test_a_long_beginning_is_read_in_pieces_with_the_state_carried():
    torch.manual_seed(2)
    module = Elman((3, 4), 4, hidden=5)
    beginning = torch.randint(4, (BURN_IN + 7,))
    seen = beginning.tolist()
    for _ in range(6):                                                                   # the likeliest, by the whole text each time
        with torch.no_grad():
            seen.append(int(module(one_hot(torch.tensor([seen]), 4))[0, -1].argmax()))
    codes = continued(Runner(module), answer, beginning, Request(2, top_k=1), 6)
    assert codes.tolist() == [seen[-6:]] * 2


def test_a_net_without_memory_reads_as_much_again_as_it_was_given():
    class Last(nn.Module):
        """The symbol after the first of three is likeliest."""

        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            assert x.shape[1] == 3
            return 50 * x[:, :1].roll(1, -1).expand(-1, 3, -1)

    codes = continued(Runner(Last()), answer, torch.tensor([0, 1, 2]), Request(1), 5)
    assert codes.tolist() == [[1, 2, 3, 2, 3]]
