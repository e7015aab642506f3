"""The feed: every row once an epoch, in an order that seed and epoch alone decide, however it is cut into chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.core.errors import InputError
from chainrule.data.feed.shuffled import CHUNK_BYTES, Feed
from chainrule.data.source import Part

SIZES = {"n": st.integers(1, 60), "batch": st.integers(1, 70), "size": st.integers(1, 12)}


def numbered(n, **given):
    """Rows whose first column is their number in the part; in the source they are numbered from 100 down."""
    x = torch.stack([torch.arange(n), torch.arange(n) * 2], 1)
    return Feed(Part(x, torch.arange(n) * 3, 100 - torch.arange(n), torch.arange(n) * 0.5), torch.Tensor.float, **given)


def read(chunks):
    """Per batch the numbers of its rows; targets, weights and conversion are checked on the way."""
    batches = []
    for chunk in chunks:
        assert chunk.x.dtype == torch.float32
        for x, y, weight in zip(chunk.x, chunk.y, chunk.weight, strict=True):
            assert torch.equal(x[:, 1], 2 * x[:, 0])
            assert torch.equal(y, 3 * x[:, 0].long())
            assert torch.equal(weight, x[:, 0] * 0.5)
            batches.append(x[:, 0].long().tolist())
    return batches


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_an_epoch_is_every_row_once_in_the_order_it_says(n, batch, size):
    feed = numbered(n, batch=batch, seed=1)
    batches = read(feed.chunks(2, size=size))
    assert sum(batches, []) == feed.order(2).tolist()
    assert sorted(sum(batches, [])) == list(range(n))
    assert len(batches) == feed.batches
    assert [feed.rows(2, b).tolist() for b in range(feed.batches)] == [[100 - r for r in rows] for rows in batches]


@settings(max_examples=60, deadline=None)
@given(**SIZES, start=st.integers(0, 60))
def test_starting_anywhere_gives_the_rest_and_chunks_do_not_matter(n, batch, size, start):
    feed = numbered(n, batch=batch, seed=1)
    start = min(start, feed.batches)
    assert read(feed.chunks(5, start, size)) == read(feed.chunks(5))[start:]


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_batches_are_full_but_for_the_last_and_never_a_single_row(n, batch, size):
    lengths = [len(rows) for rows in read(numbered(n, batch=batch, seed=1).chunks(0, size=size))]
    assert all(length == min(batch, n) for length in lengths[:-1])
    assert 1 <= lengths[-1] <= batch + 1
    if batch > 1 and n > 1:
        assert lengths[-1] > 1, "statistics over one sample do not exist"


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 6), size=st.integers(2, 8), start=st.integers(0, 9))
def test_chunks_begin_at_multiples_of_their_size(batch, size, start):
    """So that a run that goes on in mid-epoch groups its steps as it would have."""
    feed, at = numbered(60, batch=batch, seed=1), start
    for chunk in feed.chunks(0, start, size):
        if at < feed.full:
            assert at % size == 0 or at == start
            assert len(chunk.x) <= size
        at += len(chunk.x)


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    torch.manual_seed(0)
    first = [numbered(50, batch=7, seed=s).order(e).tolist() for s in (0, 1) for e in (0, 1, 2)]
    torch.manual_seed(99)
    again = [numbered(50, batch=3, seed=s).order(e).tolist() for s in (0, 1) for e in (0, 1, 2)]
    assert first == again
    assert len({tuple(order) for order in first}) == 6


def test_every_place_is_equally_likely():
    """Second derivation of the shuffle: over many epochs the mean place of every row is the middle, within six standard errors."""
    n, epochs = 20, 2000
    feed = numbered(n, batch=5, seed=2)
    places = torch.stack([feed.order(e).argsort() for e in range(epochs)]).double()
    error = ((n**2 - 1) / 12 / epochs) ** 0.5
    assert (places.mean(0) - (n - 1) / 2).abs().max() < 6 * error


def test_everything_is_one_batch_in_its_own_order():
    feed = numbered(9, batch=2, seed=1, everything=True)
    assert read(feed.chunks(3, size=4)) == [list(range(9))]
    assert feed.batches == 1
    assert feed.rows(3, 0).tolist() == [100 - r for r in range(9)]


def test_bytes_stay_bytes_until_they_are_gathered():
    feed = Feed(Part(torch.randint(256, (10, 1, 4, 4), dtype=torch.uint8), None, torch.arange(10)), lambda x: x.float() / 255, batch=4)
    assert feed.x.dtype == torch.uint8
    chunk = next(feed.chunks(0, size=2))
    assert chunk.x.shape == (2, 4, 1, 4, 4)
    assert float(chunk.x.max()) <= 1
    assert chunk.y is None
    assert chunk.weight is None


def test_a_chunk_stays_within_its_memory():
    feed = Feed(Part(torch.zeros(64, 1000, dtype=torch.uint8), None, torch.arange(64)), torch.Tensor.float, batch=16)
    assert feed.longest_chunk() * 16 * 1000 * 4 <= CHUNK_BYTES < (feed.longest_chunk() + 1) * 16 * 1000 * 4
    assert Feed(Part(torch.zeros(2, 2**23), None, torch.arange(2)), torch.Tensor.float, batch=2).longest_chunk() == 1


def test_a_batch_of_none_is_refused():
    with pytest.raises(InputError, match="--batch must be at least 1; got 0"):
        numbered(5, batch=0)
