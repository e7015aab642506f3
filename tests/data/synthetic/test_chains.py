"""Chains on a lattice: walks that cross themselves nowhere, residues that touch where they are near, and letters that say how it turns."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.readers.contacts import NEAREST
from chainrule.data.synthetic.chains import CORE, SURFACE, TURNS, fold, touching


@pytest.fixture(params=range(5))
def chain(request):
    return fold(np.random.default_rng(request.param), 0.0)


def test_a_chain_is_a_walk_on_the_lattice_that_visits_no_place_twice(chain):
    steps = np.abs(np.diff(chain.places, axis=0)).sum(1)
    assert (steps == 1).all()
    assert len({tuple(place) for place in chain.places}) == len(chain.places) == len(chain.letters)


def test_pairs_touch_that_are_at_most_two_steps_apart(chain):
    pairs = {tuple(pair) for pair in touching(chain.places)}
    for i, a in enumerate(chain.places):
        for j, b in enumerate(chain.places):
            near = sorted(np.abs(a - b).tolist()) in ([0, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 2])
            assert ((i, j) in pairs) == (i < j and near)


def test_letters_say_where_a_strand_ends_and_how_the_chain_turns(chain):
    """The walk followed again by the letters alone: each pair of turning letters is a step to the left, right or straight on."""
    where = {letter: turn for turn, letters in TURNS.items() for letter in letters}
    ends = [i for i, letter in enumerate(chain.letters) if letter in where]
    at, ahead, columns = np.array([0, 0]), np.array([1, 0]), [(0, 0)]
    for last, first in zip(ends[::2], ends[1::2], strict=True):
        assert first == last + 1
        assert where[chain.letters[last]] == where[chain.letters[first]]
        turned = {"straight": ahead, "left": np.array([-ahead[1], ahead[0]]), "right": np.array([ahead[1], -ahead[0]])}
        if len(columns) > 1:
            ahead = turned[where[chain.letters[last]]]
        at = at + ahead
        columns.append(tuple(at))
    assert columns == list(dict.fromkeys((x, y) for x, y, _ in chain.places.tolist()))
    assert set(chain.letters) - set(where) <= set(CORE + SURFACE)


def test_what_is_asked_is_symmetric_leaves_near_pairs_out_and_ends_with_the_chain():
    source = cr.load("chains:count=12")
    y, lengths = source.targets, source.inputs.lengths
    assert torch.equal(y, y.mT)
    places = torch.arange(y.shape[1])
    near = (places[:, None] - places).abs() < NEAREST
    assert bool((y[:, near] == -1).all())
    for row, length in zip(y, lengths.tolist(), strict=True):
        assert bool((row[length:] == -1).all())
        assert bool((row[:length, :length][~near[:length, :length]] >= 0).all())
        assert int((row == 1).sum()) > length / 2
    assert source.fingerprint == cr.load("chains:count=12").fingerprint != cr.load("chains:count=12,seed=1").fingerprint


@pytest.mark.parametrize("options", ["count=2", "noise=1.5", "noise=-0.1"])
def test_options_that_allow_no_chain_are_refused(options):
    with pytest.raises(InputError, match="chains expects"):
        cr.load(f"chains:{options}")
