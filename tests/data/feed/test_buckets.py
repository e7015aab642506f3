"""Length buckets: every row once, batches as wide as their longest row may be, the same costs as of padded batches, and less padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.core.criterion import Stepwise
from chainrule.core.errors import InputError
from chainrule.core.loss import identity
from chainrule.core.net import Net
from chainrule.data.feed.buckets import Buckets, lengths_of
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part
from chainrule.losses.classic import cross_entropy
from chainrule.nets.gru import GRU

CODES, STEPS, FILLER = 5, 12, 6
SIZES = {"n": st.integers(2, 60), "batch": st.integers(2, 9), "size": st.integers(1, 12), "buckets": st.integers(2, 6)}


def sequences(n, seed=0):
    """Codes whose first is the row's number modulo CODES, of 1 to STEPS steps; targets are the codes, and 0 past the end."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, STEPS + 1, (n,), generator=random)
    mask = torch.arange(STEPS) < lengths[:, None]
    x = torch.where(mask, torch.randint(CODES, (n, STEPS), generator=random), FILLER).to(torch.uint8)
    return Part(x, torch.where(mask, x.long(), 0), torch.arange(n), torch.arange(n) + 1.0, mask), lengths


def bucketed(n, **options):
    part, lengths = sequences(n)
    return Buckets(part, identity, lengths=lengths, stepwise=True, **{"seed": 1, **options}), part, lengths


def batches_of(feed, epoch=0, start=0, size=1):
    return [batch for chunk in feed.chunks(epoch, start, size) for batch in chunk.unbind()]


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_an_epoch_is_every_row_once_as_wide_as_its_batch_needs(n, batch, size, buckets):
    feed, part, lengths = bucketed(n, batch=batch, buckets=buckets)
    order, batches = feed.order(3), batches_of(feed, 3, size=size)
    assert sorted(order.tolist()) == list(range(n))
    assert len(batches) == feed.batches
    assert torch.cat([b.weight for b in batches]).tolist() == (order + 1.0).tolist()
    for number, one in enumerate(batches):
        rows = feed.rows(3, number)
        width = one.x.shape[1]
        assert int(lengths[rows].amax()) <= width == one.y.shape[1] == one.mask.shape[1]
        assert torch.equal(one.x, part.x[rows, :width])
        assert torch.equal(one.y, part.y[rows, :width])
        assert torch.equal(one.mask, part.mask[rows, :width])
        assert int(one.mask.sum()) == int(lengths[rows].sum()), "no step that exists is cut off"


@settings(max_examples=60, deadline=None)
@given(**SIZES, start=st.integers(0, 40))
def test_the_order_follows_from_seed_and_epoch_and_not_from_chunks(n, batch, size, buckets, start):
    feed, _, _ = bucketed(n, batch=batch, buckets=buckets)
    torch.manual_seed(size)
    again, _, _ = bucketed(n, batch=batch, buckets=buckets)
    assert torch.equal(feed.order(2), again.order(2))
    start = min(start, feed.batches)
    mine, whole = batches_of(feed, 2, start, size), batches_of(feed, 2)[start:]
    assert [b.x.tolist() for b in mine] == [b.x.tolist() for b in whole]


def test_epochs_differ_and_so_do_seeds():
    feed, _, _ = bucketed(60, batch=5, buckets=4)
    other, _, _ = bucketed(60, batch=5, buckets=4, seed=2)
    assert len({tuple(f.order(e).tolist()) for f in (feed, other) for e in (0, 1, 2)}) == 6


def test_padding_is_saved_about_as_much_as_buckets_allow():
    """Of lengths from 1 to 12, evenly, padding takes 46 % of all steps; with six classes of two lengths each, half a step."""
    feed, part, lengths = bucketed(600, batch=10, buckets=6)
    read = sum(b.mask.numel() for b in batches_of(feed))
    assert read < 0.65 * part.mask.numel()
    assert read - int(lengths.sum()) < 0.4 * (part.mask.numel() - int(lengths.sum()))
    assert feed.saved == pytest.approx(1 - read / part.mask.numel(), abs=0.02)


def test_each_sequence_costs_what_it_costs_in_a_padded_batch():
    """The loss of each sequence, and so that of every batch, is the one that a net has of whole rows, in either direction."""
    torch.manual_seed(0)
    net = Net.of(GRU((STEPS, CODES), CODES, hidden=7, layers=2, bidirectional=True, answer="steps").double())
    feed, part, _ = bucketed(50, batch=6, buckets=4)
    criterion = Stepwise(cross_entropy())

    def hot(x):
        return torch.nn.functional.one_hot(x.long(), FILLER + 1)[..., :CODES].double()

    def cost(batch):
        return batch.mean(criterion(net, batch.with_inputs(hot(batch.x)))["loss"])

    for number, one in enumerate(batches_of(feed)):
        rows = feed.rows(0, number)
        whole = next(Feed(Part(part.x[rows], part.y[rows], rows, part.weight[rows], part.mask[rows]), identity, batch=len(rows),
                          everything=True).chunks(0))[0]
        assert whole.x.shape[1] == STEPS
        torch.testing.assert_close(cost(one), cost(whole), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(net(hot(one.x))[one.mask], net(hot(whole.x))[whole.mask], rtol=1e-10, atol=1e-12)


def test_lengths_are_those_up_to_the_last_step_that_exists():
    x = torch.tensor([[1, 2, 6, 6], [6, 1, 6, 3], [6, 6, 6, 6]])
    assert lengths_of(x, 6).tolist() == [2, 4, 1]
    nothing = float("nan")
    numbers = torch.tensor([[[1.0, nothing], [nothing, nothing], [0.0, 2.0]], [[nothing] * 2, [3.0, 3.0], [nothing] * 2]])
    assert lengths_of(numbers, None).tolist() == [3, 2]


def test_what_makes_no_buckets_is_refused():
    part, lengths = sequences(9)
    with pytest.raises(InputError, match="--buckets must be at least 2; got 1"):
        Buckets(part, identity, lengths=lengths, buckets=1, batch=2)
    with pytest.raises(InputError, match="a length from 1 to 12"):
        Buckets(part, identity, lengths=lengths + STEPS, buckets=2, batch=2)
