"""Chains with tags: walks on the lattice that cross themselves nowhere, tags that are read from places, letters that follow the tags."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.structures import FAVOURED, HELIX, LOOP, RESIDUES, STRAND, TAGS, tags_of, wound


def walk(*moves):
    return np.cumsum(np.array([(0, 0, 0), *moves]), axis=0)


X, Y, Z, BACK, DOWN = (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0)


@pytest.mark.parametrize(("places", "tags"), [
    (walk(X, X, X), [STRAND] * 4), (walk(X, X, Y), [LOOP] * 4), (walk(X, Y, BACK), [LOOP] * 4),
    (walk(X, Y, BACK, Z, X, DOWN, BACK), [HELIX] * 8),
    (walk(X, X, X, Y, BACK, BACK, BACK), [STRAND] * 8),
    (walk(Y, X, Y, X), [LOOP] * 5),
])
def test_tags_are_those_of_the_geometry(places, tags):
    assert tags_of(places).tolist() == tags


@pytest.mark.parametrize("seed", range(6))
def test_a_chain_is_a_walk_that_visits_no_place_twice_with_letters_by_structure(seed):
    chain = wound(np.random.default_rng(seed), 0.0)
    assert (np.abs(np.diff(chain.places, axis=0)).sum(1) == 1).all()
    assert len({tuple(place) for place in chain.places}) == len(chain.places) == len(chain.letters)
    assert RESIDUES[0] <= len(chain.letters) <= RESIDUES[1]
    assert all(letter in FAVOURED[tag] for letter, tag in zip(chain.letters, tags_of(chain.places).tolist(), strict=True))


def test_the_set_has_all_tags_a_mask_and_follows_from_its_seed():
    source = cr.load("structures:count=40")
    mask = source.inputs.mask
    shares = np.bincount(source.targets[mask].numpy(), minlength=3) / int(mask.sum())
    assert source.classes == TAGS
    assert shares.min() > 0.12, "each structure is there often enough to be learned"
    assert source.fingerprint == cr.load("structures:count=40").fingerprint != cr.load("structures:count=40,seed=1").fingerprint
    with pytest.raises(InputError, match="noise from 0 to 1; got count=2"):
        cr.load("structures:count=2")
